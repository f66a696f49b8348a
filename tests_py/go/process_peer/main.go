// The other side of test_processes_from_go.py: takes orders on its standard input.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sync"

	"github.com/golock/golock/golock"
)

func main() {
	lock, err := golock.OpenProcessLock(os.Args[1])
	if err != nil {
		panic(err)
	}
	event, err := golock.OpenProcessEvent(os.Args[1] + " event")
	if err != nil {
		panic(err)
	}
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		switch orders.Text() {
		case "lock":
			lock.Lock()
			fmt.Println("locked", lock.Abandoned())
		case "unlock":
			lock.Unlock()
			fmt.Println("unlocked")
		case "recover":
			fmt.Println("recovered", lock.Recover())
		case "set":
			event.Set()
			fmt.Println("set")
		case "wait":
			fmt.Println("waited", event.Wait(context.Background()))
			event.Clear()
			fmt.Println("cleared", event.IsSet())
		case "count":
			count(lock, os.Args[2])
			fmt.Println("counted")
		}
	}
}

// count adds 4000 to the number in a file, from four goroutines.
func count(lock *golock.ProcessLock, file string) {
	var all sync.WaitGroup
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 1000 {
				lock.Lock()
				var number int
				content, err := os.ReadFile(file)
				if err == nil {
					_, err = fmt.Sscan(string(content), &number)
				}
				if err == nil {
					err = os.WriteFile(file, fmt.Append(nil, number+1), 0o600)
				}
				if err != nil {
					panic(err)
				}
				lock.Unlock()
			}
		}()
	}
	all.Wait()
}
