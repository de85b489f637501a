// SPDX-License-Identifier: GPL-2.0-only
/* A workqueue that runs works on the CPU they are queued on has to be called so. */
#include <linux/workqueue.h>
#ifdef FEATURE
const unsigned int test = WQ_PERCPU;
#else
const unsigned int test = WQ_UNBOUND;
#endif
