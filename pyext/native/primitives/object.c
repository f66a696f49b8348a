#include "primitives/object.h"

#include "sharing/share.h"

#include <stdarg.h>

/* A version that no type has. */
#define NEVER UINT_MAX

PyMemberDef golock_object_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(golock_object, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(golock_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyObject *
golock_object_new(PyTypeObject *type)
{
    golock_object *self = (golock_object *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->checked = NEVER;
        self->opened = true;
        self->fresh = true;
    }
    return (PyObject *)self;
}

int
golock_object_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((golock_object *)self)->dict);
    return 0;
}

int
golock_object_clear(PyObject *self)
{
    Py_CLEAR(((golock_object *)self)->dict);
    return 0;
}

static void
free_now(golock_object *self, inquiry clear)
{
    PyTypeObject *type = Py_TYPE(self);
    golock_object_gone(&self->record);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    clear((PyObject *)self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A chain of objects, each the action of the next, may have any length, so use the trashcan. An
 * object that refers to no other needs none. */
void
golock_object_free(PyObject *self, destructor dealloc, inquiry clear)
{
    golock_object *object = (golock_object *)self;
    (void)dealloc; /* used before 3.14 */
    PyObject_GC_UnTrack(self);
    if (object->dict == NULL && clear == golock_object_clear) {
        free_now(object, clear);
        return;
    }
    Py_TRASHCAN_BEGIN(self, dealloc);
    free_now(object, clear);
    Py_TRASHCAN_END;
}

/* Returns a new reference to the object's __dict__, or NULL if it has none. A lookup needs a
 * reference: a key may be any object whose __eq__ replaces the __dict__. */
static PyObject *
own_dict(PyObject *self)
{
    PyObject *dict;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    dict = Py_XNewRef(((golock_object *)self)->dict);
    GOLOCK_END_CRITICAL_SECTION();
    return dict;
}

/* Looks up a name. Returns 1 with a new reference, 0 if it is missing, or -1 with an exception
 * set. */
static int
find(PyObject *dict, const char *name, PyObject **value)
{
    PyObject *key = PyUnicode_FromString(name);
    int found = -1;
    *value = NULL;
    if (key != NULL) {
#if PY_VERSION_HEX >= 0x030D0000
        found = PyDict_GetItemRef(dict, key, value);
#else
        *value = Py_XNewRef(PyDict_GetItemWithError(dict, key));
        found = *value != NULL ? 1 : PyErr_Occurred() ? -1 : 0;
#endif
    }
    Py_XDECREF(key);
    return found;
}

/* The same in the object's __dict__. */
static int
find_own(PyObject *self, const char *name, PyObject **value)
{
    PyObject *dict = own_dict(self);
    *value = NULL;
    int found = dict == NULL ? 0 : find(dict, name, value);
    Py_XDECREF(dict);
    return found;
}

/* Returns a new reference to golock._opened, or NULL with an exception set. */
static PyObject *
opened_module(void)
{
    return PyImport_ImportModule("golock._opened");
}

/* Returns a new reference to an attribute of the interpreter's class, or NULL with an exception
 * set. */
static PyObject *
interpreter_attribute(PyObject *self, const golock_class *class, const char *name)
{
    golock_state *state = golock_state_of(self);
    if (__atomic_load_n(&state->opened, __ATOMIC_ACQUIRE) == NULL) {
        PyObject *module = opened_module();
        PyObject *classes = module == NULL ? NULL : PyObject_CallMethod(module, "classes", NULL);
        Py_XDECREF(module);
        if (classes == NULL) {
            return NULL;
        }
        PyObject *none = NULL;
        if (!__atomic_compare_exchange_n(&state->opened, &none, classes, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            Py_DECREF(classes);
        }
    }
    PyObject *members, *attribute = NULL;
    PyObject *opened = __atomic_load_n(&state->opened, __ATOMIC_ACQUIRE);
    int found = find(opened, class->name, &members);
    if (found > 0) {
        found = find(members, name, &attribute);
        Py_DECREF(members);
    }
    if (found == 0) {
        PyErr_Format(PyExc_AttributeError, "'%s' object has no attribute '%s'", class->name, name);
    }
    return attribute;
}

/* Returns 1 if the object itself has an attribute that the interpreter's methods use on self, 0 if
 * not, or -1 with an exception set. */
static int
overrides_itself(PyObject *self, const golock_class *class)
{
    int found = 0;
    for (int i = 0; found == 0 && ((golock_object *)self)->dict != NULL && class->used[i] != NULL;
         i++) {
        PyObject *value;
        found = find_own(self, class->used[i], &value);
        Py_XDECREF(value);
    }
    return found;
}

/* The same for the type: whether such an attribute differs from golock's own. */
static int
type_overrides(PyTypeObject *type, const golock_class *class, PyObject *attributes)
{
    for (int i = 0; class->used[i] != NULL; i++) {
        PyObject *found = PyObject_GetAttrString((PyObject *)type, class->used[i]);
        if (found == NULL) {
            if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
                return -1;
            }
            PyErr_Clear(); /* this interpreter does not have it, or somebody deleted it */
        }
        PyObject *own = PyTuple_GET_ITEM(attributes, i);
        bool same = found == own || (found == NULL && own == Py_None);
        Py_XDECREF(found);
        if (!same) {
            return 1;
        }
    }
    return 0;
}

static unsigned int
version_of(const PyTypeObject *type)
{
    return __atomic_load_n(&type->tp_version_tag, __ATOMIC_RELAXED);
}

/* Returns 1 if the object or its type overrides an attribute that the interpreter's methods use on
 * self, 0 if not, or -1 with an exception set. A metaclass may run any code, which may change the
 * object's type. */
static int
overrides(PyObject *self, const golock_class *class)
{
    int found = overrides_itself(self, class);
    if (found != 0) {
        return found;
    }
    PyTypeObject *type = (PyTypeObject *)Py_NewRef(Py_TYPE(self));
    golock_class_state *known = &golock_state_of(self)->classes[class->number];
    unsigned int version = version_of(type);
    if (version == 0 || version != __atomic_load_n(&known->version, __ATOMIC_RELAXED)) {
        found = type_overrides(type, class, known->attributes);
    }
    /* A type that was changed meanwhile has another version, or none. */
    if (found == 0 && version != 0 && version == version_of(type)) {
        __atomic_store_n(&known->version, version, __ATOMIC_RELAXED);
        if (!golock_object_opened(self)) {
            __atomic_store_n(&((golock_object *)self)->checked, version, __ATOMIC_RELAXED);
        }
    }
    Py_DECREF(type);
    return found;
}

bool
golock_conditions_look(golock_state *state)
{
    const golock_class *class = &golock_condition_class;
    golock_class_state *known = &state->classes[class->number];
    unsigned int version = version_of(state->condition_type);
    int found = type_overrides(state->condition_type, class, known->attributes);
    if (found < 0) {
        PyErr_Clear(); /* the interpreter's method will meet it again */
    } else if (found == 0 && version != 0 && version == version_of(state->condition_type)) {
        __atomic_store_n(&known->version, version, __ATOMIC_RELAXED);
    }
    return found == 0;
}

int
golock_class_remember(golock_class_state *known, PyTypeObject *type, const golock_class *class)
{
    Py_ssize_t length = 0;
    while (class->used[length] != NULL) {
        length++;
    }
    known->attributes = PyTuple_New(length);
    for (Py_ssize_t i = 0; known->attributes != NULL && i < length; i++) {
        PyObject *own = PyObject_GetAttrString((PyObject *)type, class->used[i]);
        if (own == NULL) {
            PyErr_Clear();
            own = Py_NewRef(Py_None);
        }
        PyTuple_SET_ITEM(known->attributes, i, own);
    }
    return known->attributes == NULL ? -1 : 0;
}

bool
golock_object_check(PyObject *self, const golock_class *class)
{
    if (golock_object_opened(self)) {
        return false;
    }
    int found = overrides(self, class);
    if (found < 0) {
        PyErr_Clear(); /* the interpreter's method will meet it again */
    }
    return found == 0 && !golock_object_opened(self);
}

bool
golock_object_check_fresh(PyObject *self, const golock_class *class)
{
    if (!((golock_object *)self)->fresh) {
        return false;
    }
    int found = overrides(self, class);
    if (found < 0) {
        PyErr_Clear();
    }
    return found == 0 && ((golock_object *)self)->fresh;
}

void
golock_object_make_native(PyObject *self, const golock_class *class)
{
    golock_object *object = (golock_object *)self;
    golock_object_record *record = golock_object_known(self, class);
    if (record != NULL) {
        golock_object_record_site(record);
    }
    object->fresh = false;
    __atomic_store_n(&object->opened, false, __ATOMIC_RELEASE);
}

void
golock_object_done(PyObject *self, const golock_class *class)
{
    golock_object_record *record = golock_object_known(self, class);
    if (record != NULL) {
        golock_object_taken(record);
    }
}

/* Prevents an uninitialized object from becoming native. */
static void
touch(PyObject *self)
{
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    ((golock_object *)self)->fresh = false;
    GOLOCK_END_CRITICAL_SECTION();
}

int
golock_object_open(PyObject *self, const golock_class *class)
{
    int result = 0;
    if (!golock_object_opened(self)) {
        GOLOCK_BEGIN_CRITICAL_SECTION(self);
        result = class->open(self);
        GOLOCK_END_CRITICAL_SECTION();
    }
    return result;
}

PyObject *
golock_object_call(PyObject *self, const golock_class *class, const char *method,
                   PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    if (golock_object_open(self, class) < 0) {
        return NULL;
    }
    PyObject *function = interpreter_attribute(self, class, method);
    PyObject *bound = function == NULL ? NULL : PyMethod_New(function, self);
    PyObject *result =
        bound == NULL ? NULL : PyObject_Vectorcall(bound, args, (size_t)nargs, kwnames);
    Py_XDECREF(function);
    Py_XDECREF(bound);
    return result;
}

int
golock_object_call_init(PyObject *self, const golock_class *class, PyObject *args, PyObject *kwargs)
{
    if (golock_object_open(self, class) < 0) {
        return -1;
    }
    touch(self);
    PyObject *function = interpreter_attribute(self, class, "__init__");
    PyObject *bound = function == NULL ? NULL : PyMethod_New(function, self);
    PyObject *result = bound == NULL ? NULL : PyObject_Call(bound, args, kwargs);
    Py_XDECREF(function);
    Py_XDECREF(bound);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

PyObject *
golock_opened_call(PyObject *self, const char *function, const char *format, ...)
{
    PyObject *module = opened_module();
    PyObject *callable = module == NULL ? NULL : PyObject_GetAttrString(module, function);
    Py_XDECREF(module);
    va_list arguments;
    va_start(arguments, format);
    PyObject *tuple = Py_VaBuildValue(format, arguments);
    va_end(arguments);
    PyObject *bound = callable == NULL ? NULL : PyMethod_New(callable, self);
    PyObject *result = bound == NULL || tuple == NULL ? NULL : PyObject_Call(bound, tuple, NULL);
    Py_XDECREF(callable);
    Py_XDECREF(bound);
    Py_XDECREF(tuple);
    return result;
}

PyObject *
golock_object_fields(PyObject *self, const golock_class *class, const char *format, ...)
{
    PyObject *module = opened_module();
    PyObject *function = interpreter_attribute(self, class, "__init__");
    va_list arguments;
    va_start(arguments, format);
    PyObject *tuple = Py_VaBuildValue(format, arguments);
    va_end(arguments);
    PyObject *fields = module == NULL || function == NULL || tuple == NULL
                           ? NULL
                           : PyObject_CallMethod(module, "fields", "OO", function, tuple);
    Py_XDECREF(module);
    Py_XDECREF(function);
    Py_XDECREF(tuple);
    return fields;
}

PyObject *
golock_object_merge(PyObject *self, PyObject *fields)
{
    PyObject *own = own_dict(self);
    PyObject *merged = own == NULL ? PyDict_New() : PyDict_Copy(own);
    Py_XDECREF(own);
    if (merged != NULL && PyDict_Merge(merged, fields, 0) < 0) {
        Py_CLEAR(merged);
    }
    return merged;
}

void
golock_object_commit(PyObject *self, PyObject *dict)
{
    golock_object *object = (golock_object *)self;
    PyObject *before = object->dict;
    object->dict = dict;
    object->fresh = false;
    __atomic_store_n(&object->checked, NEVER, __ATOMIC_RELAXED);
    __atomic_store_n(&object->opened, true, __ATOMIC_RELEASE);
    Py_XDECREF(before);
}

/* Returns -1 with AttributeError set. */
static int
no_attribute(PyObject *self, const char *name)
{
    PyErr_Format(PyExc_AttributeError, "'%.200s' object has no attribute '%s'",
                 Py_TYPE(self)->tp_name, name);
    return -1;
}

PyObject *
golock_object_attribute(PyObject *self, const char *name)
{
    PyObject *value;
    if (find_own(self, name, &value) == 0) {
        no_attribute(self, name);
    }
    return value;
}

PyObject *
golock_get_field(PyObject *self, void *closure)
{
    const golock_field *field = closure;
    if (!golock_object_opened(self)) {
        if (field->native != NULL) {
            return field->native(self);
        }
        if (golock_object_open(self, field->class) < 0) {
            return NULL;
        }
    }
    return golock_object_attribute(self, field->name);
}

/* Returns a new reference to the object's __dict__, made if it has none, or NULL with MemoryError
 * set. */
static PyObject *
make_dict(PyObject *self)
{
    golock_object *object = (golock_object *)self;
    PyObject *made = PyDict_New();
    if (made == NULL) {
        return NULL;
    }
    PyObject *dict;
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    if (object->dict == NULL) {
        object->dict = Py_NewRef(made);
    }
    dict = Py_NewRef(object->dict);
    GOLOCK_END_CRITICAL_SECTION();
    Py_DECREF(made);
    return dict;
}

int
golock_set_field(PyObject *self, PyObject *value, void *closure)
{
    const golock_field *field = closure;
    if (golock_object_open(self, field->class) < 0) {
        return -1;
    }
    PyObject *dict = value == NULL ? own_dict(self) : make_dict(self);
    if (dict == NULL) {
        return value == NULL ? no_attribute(self, field->name) : -1;
    }
    int result = value == NULL ? PyDict_DelItemString(dict, field->name)
                               : PyDict_SetItemString(dict, field->name, value);
    Py_DECREF(dict);
    if (result < 0 && value == NULL && PyErr_ExceptionMatches(PyExc_KeyError)) {
        return no_attribute(self, field->name);
    }
    return result;
}

PyObject *
golock_get_property(PyObject *self, void *closure)
{
    const golock_field *field = closure;
    if (!golock_object_opened(self)) {
        return field->native(self);
    }
    PyObject *property = interpreter_attribute(self, field->class, field->name);
    PyObject *value = property == NULL
                          ? NULL
                          : PyObject_CallMethod(property, "__get__", "OO", self, Py_TYPE(self));
    Py_XDECREF(property);
    return value;
}

/* Whoever has the __dict__ can change anything, so the object is opened. */
PyObject *
golock_get_dict(PyObject *self, void *class)
{
    if (golock_object_open(self, class) < 0) {
        return NULL;
    }
    touch(self);
    return PyObject_GenericGetDict(self, NULL);
}

int
golock_set_dict(PyObject *self, PyObject *value, void *class)
{
    if (golock_object_open(self, class) < 0) {
        return -1;
    }
    touch(self);
    return PyObject_GenericSetDict(self, value, NULL);
}

PyObject *
golock_object_getstate(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return golock_opened_call(self, "state", "()");
}

PyObject *
golock_object_reduce(PyObject *self, PyObject *protocol)
{
    return golock_opened_call(self, "reduce", "(O)", protocol);
}

#if PY_VERSION_HEX >= 0x030B0000
PyObject *
golock_object_repr(PyObject *self, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *what = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    PyTypeObject *type =
        (PyTypeObject *)Py_NewRef(Py_TYPE(self)); /* a metaclass may change the type */
    PyObject *module = PyObject_GetAttrString((PyObject *)type, "__module__");
    PyObject *name = PyType_GetQualName(type);
    Py_DECREF(type);
    PyObject *repr = NULL;
    if (what != NULL && module != NULL && name != NULL) {
        repr = PyUnicode_FromFormat("<%S.%U at %p: %U>", module, name, self, what);
    }
    Py_XDECREF(what);
    Py_XDECREF(module);
    Py_XDECREF(name);
    return repr;
}
#else
PyObject *
golock_object_repr(PyObject *self, const char *Py_UNUSED(format), ...)
{
    return PyBaseObject_Type.tp_repr(self);
}
#endif

struct golock_header *
golock_object_share(PyObject *self, const golock_class *class, struct golock_header *header,
                    enum golock_kind kind)
{
    bool opened; /* and it is not opened before the header is written */
    GOLOCK_BEGIN_CRITICAL_SECTION(self);
    opened = golock_object_opened(self);
    if (!opened) {
        golock_object_record *record = golock_object_record_of(self, class);
        if (record != NULL) {
            golock_object_shared(record);
        }
        golock_share(header, kind);
    }
    GOLOCK_END_CRITICAL_SECTION();
    return opened ? golock_refuse_to_share(self) : header;
}
