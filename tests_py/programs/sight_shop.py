"""A program for the page of golock.sight to show: threads that contend, and two that deadlock.

It prints a line when the deadlock stands, and ends with its input.
"""

import sys
import threading
import time

import golock
import golock.sight

accounts, journal, orders = golock.Lock(), golock.Lock(), golock.Lock()
prices = golock.RLock()
connections = golock.Semaphore(2)
for name in "accounts", "journal", "orders", "prices", "connections":
    golock.sight.name(globals()[name], name)
both = threading.Barrier(3)


def transfer(first, second):
    with first:
        both.wait()
        with second:
            pass


def look_up():
    with accounts:
        pass


def sell():
    while True:
        with orders:
            update_price()


def restock():
    while True:
        with orders:
            time.sleep(0.003)
        update_price()


def update_price():
    with prices:
        time.sleep(0.004)


def connect():
    while True:
        with connections:
            time.sleep(0.02)


def start(name, target, *arguments):
    threading.Thread(target=target, args=arguments, name=name, daemon=True).start()


start("clerk", transfer, accounts, journal)
start("auditor", transfer, journal, accounts)
both.wait()
start("cashier", look_up)
for number in 1, 2, 3:
    start(f"seller-{number}", sell)
    start(f"client-{number}", connect)
start("stockman", restock)
while not golock.sight.deadlocks():
    time.sleep(0.01)
print("ready", flush=True)
sys.stdin.read()
