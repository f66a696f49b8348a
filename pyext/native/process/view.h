/* Pages as golock.sight shows them. */
#ifndef GOLOCK_PROCESS_VIEW_H
#define GOLOCK_PROCESS_VIEW_H

#include "base/compat.h"
#include "process/page.h"

/* Shows the page of a lock to golock.sight, or withdraws it before it is freed. Returns false if
 * there is no memory. */
bool golock_page_show(golock_page *page);
void golock_page_hide(golock_page *page);

/* Sets page->quick. Call it when page->me has changed. */
void golock_page_set_quick(golock_page *page);

/* Records, while owners are recorded, that the calling thread has taken the lock, or is about to
 * release it. They need the GIL. */
void golock_page_owned(golock_page *page);
void golock_page_disowned(golock_page *page);

#endif
