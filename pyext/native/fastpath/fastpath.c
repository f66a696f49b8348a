#include "fastpath/fastpath.h"

bool golock_fastpath = true;
bool golock_plain_path = true;
