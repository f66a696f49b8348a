package capi

// #include "golock.h"
// #include "golock_page.h"
// #include <stddef.h>
// #define PAGE_LAYOUT ((uint64_t)sizeof(struct golock_page_memory) | \
//	(uint64_t)offsetof(struct golock_page_memory, cell) << 16 | \
//	(uint64_t)offsetof(struct golock_page_memory, due) << 24 | \
//	(uint64_t)offsetof(struct golock_page_memory, slots) << 32 | \
//	(uint64_t)offsetof(struct golock_page_slot, doorbell) << 48 | \
//	(uint64_t)offsetof(struct golock_page_slot, debts) << 56)
// enum { pageLayoutLow = PAGE_LAYOUT & 0x7FFFFFFF, pageLayoutHigh = PAGE_LAYOUT >> 31 & 0x7FFFFFFF };
import "C"

import "github.com/golock/golock/internal/process"

// An index other than 0 does not compile: golock_page.h and package process are equal.
var (
	_ = [1]struct{}{}[process.Magic-C.GOLOCK_PAGE_MAGIC]
	_ = [1]struct{}{}[process.Version-C.GOLOCK_PAGE_VERSION]
	_ = [1]struct{}{}[process.Size-C.GOLOCK_PAGE_SIZE]
	_ = [1]struct{}{}[process.KindLock-C.GOLOCK_PAGE_LOCK]
	_ = [1]struct{}{}[process.KindEvent-C.GOLOCK_PAGE_EVENT]
	_ = [1]struct{}{}[process.Set-C.GOLOCK_PAGE_SET]
	_ = [1]struct{}{}[process.Sleepers-C.GOLOCK_PAGE_SLEEPERS]
	_ = [1]struct{}{}[process.ClearedOnce-C.GOLOCK_PAGE_CLEARED_ONCE]
	_ = [1]struct{}{}[process.Waiters-C.GOLOCK_PAGE_WAITERS]
	_ = [1]struct{}{}[process.Claimed-C.GOLOCK_PAGE_CLAIMED]
	_ = [1]struct{}{}[process.Handoff-C.GOLOCK_PAGE_HANDOFF]
	_ = [1]struct{}{}[process.HolderShift-C.GOLOCK_PAGE_HOLDER_SHIFT]
	_ = [1]struct{}{}[process.HolderBits-C.GOLOCK_PAGE_HOLDER_BITS]
	_ = [1]struct{}{}[process.DeathsShift-C.GOLOCK_PAGE_DEATHS_SHIFT]
	_ = [1]struct{}{}[process.Slots-C.GOLOCK_PAGE_SLOTS]
	_ = [1]struct{}{}[process.Lives-C.GOLOCK_PAGE_LIVES]
	_ = [1]struct{}{}[process.LifeByte-C.GOLOCK_PAGE_LIFE_BYTE]
	_ = [1]struct{}{}[process.Layout&0x7FFFFFFF-C.pageLayoutLow]
	_ = [1]struct{}{}[process.Layout>>31&0x7FFFFFFF-C.pageLayoutHigh]
)
