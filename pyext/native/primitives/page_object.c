#include "primitives/page_object.h"

#include <errno.h>

static void
set_error(int number, const char *what, const char *path)
{
    PyObject *arguments = Py_BuildValue("(iss)", number, what, path);
    if (arguments != NULL) {
        PyErr_SetObject(PyExc_OSError, arguments);
        Py_DECREF(arguments);
    }
}

PyObject *
golock_page_object_new(PyTypeObject *type, uint32_t kind, const char *path,
                       unsigned long long device, unsigned long long inode, int descriptor)
{
    golock_page *page = descriptor < 0 ? golock_page_find((dev_t)device, (ino_t)inode)
                                       : golock_page_adopt(descriptor, path);
    if (page == NULL) {
        return descriptor < 0 ? PyErr_Format(PyExc_LookupError, "'%s' is not mapped", path)
                              : PyErr_SetFromErrnoWithFilename(PyExc_OSError, path);
    }
    golock_page_object *self = NULL;
    if (page->memory->kind == kind) {
        self = (golock_page_object *)type->tp_alloc(type, 0);
    } else {
        set_error(EINVAL,
                  kind == GOLOCK_PAGE_LOCK ? "not the page of a lock" : "not the page of an event",
                  path);
    }
    if (self == NULL) {
        golock_page_drop(page);
        return NULL;
    }
    self->page = page;
    golock_across_made(&page->across);
    return (PyObject *)self;
}

golock_across *
golock_page_object_across(PyObject *self)
{
    return &((golock_page_object *)self)->page->across;
}

void
golock_page_object_dealloc(PyObject *op)
{
    golock_page_object *self = (golock_page_object *)op;
    PyTypeObject *type = Py_TYPE(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    golock_page_drop(self->page);
    type->tp_free(op);
    Py_DECREF(type);
}

const char golock_page_object_descriptor_doc[] =
    "_descriptor($self, /)\n--\n\n"
    "Return the descriptor of the page, which must not be closed.\n\n"
    "Raises OSError if it was.";

PyObject *
golock_page_object_descriptor(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    golock_page *page = ((golock_page_object *)op)->page;
    golock_page_set_own(page, false); /* the caller may send it to another process */
    if (!golock_page_has_file(page)) {
        return PyErr_Format(PyExc_OSError, "the descriptor of the page '%s' was closed",
                            page->path);
    }
    return PyLong_FromLong(page->fd);
}

PyMemberDef golock_page_object_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(golock_page_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};
