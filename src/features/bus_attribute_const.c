// SPDX-License-Identifier: GPL-2.0-only
/* A bus attribute's functions get a constant bus. */
#include <linux/device/bus.h>
#ifdef FEATURE
ssize_t store(const struct bus_type *bus, const char *buf, size_t count);
#else
ssize_t store(struct bus_type *bus, const char *buf, size_t count);
#endif
const struct bus_attribute test = { .store = store };
