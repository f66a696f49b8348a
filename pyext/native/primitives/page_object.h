/* What the types of locks and events across processes have in common: an object of a page. */
#ifndef GOLOCK_PAGE_OBJECT_H
#define GOLOCK_PAGE_OBJECT_H

#include "base/compat.h"
#include "process/page.h"

#include <structmember.h>

typedef struct {
    PyObject_HEAD
    golock_page *page;
    PyObject *weakrefs;
} golock_page_object;

/* Returns a new object for the page of this kind at a path. The file has been checked. The
 * descriptor is taken over, or -1: the process has mapped the file already. Returns NULL with
 * LookupError set if it has not, and with OSError if the page is of another kind, or there is no
 * memory for a mapping. */
PyObject *golock_page_object_new(PyTypeObject *type, uint32_t kind, const char *path,
                                 unsigned long long device, unsigned long long inode,
                                 int descriptor);

/* Returns what golock.sight asks of an instance of ProcessLock or ProcessEvent. */
golock_across *golock_page_object_across(PyObject *self);

void golock_page_object_dealloc(PyObject *self);

/* The method _descriptor. */
PyObject *golock_page_object_descriptor(PyObject *self, PyObject *ignored);
extern const char golock_page_object_descriptor_doc[];

extern PyMemberDef golock_page_object_members[];

#endif
