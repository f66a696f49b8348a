#include "fastpath/fastpath.h"

bool golock_fastpath = true;
