#include "../../capi/libgolock/guest.c"
