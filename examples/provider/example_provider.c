// SPDX-License-Identifier: GPL-2.0-only
/*
 * An example of a provider: RAM that the kernel was told to leave alone, of
 * which only so much may be in use at a time
 *
 *   insmod example_provider.ko start=0x100000000 size=0x80000000 \
 *     limit=0x10000000
 *   twostage online region0 --size 256M
 *   twostage offline region0 --all
 *   echo example_provider > /sys/bus/platform/drivers/example_provider/unbind
 *   rmmod example_provider
 *
 * docs/providers.md explains it. A real provider asks its device where this one
 * only counts.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/numa.h>
#include <linux/platform_device.h>

#include <twostage.h>

static unsigned long start;
module_param(start, ulong, 0444);
MODULE_PARM_DESC(start, "physical address of the memory in bytes");
static unsigned long size;
module_param(size, ulong, 0444);
MODULE_PARM_DESC(size, "size of the memory in bytes");
static unsigned long limit;
module_param(limit, ulong, 0644);
MODULE_PARM_DESC(limit, "bytes that may be in use at a time");

/*
 * Assign and unassign are never called at the same time, so this needs no lock.
 */
static u64 assigned;

static int example_assign(struct twostage_region *region, u64 address, u64 length)
{
	const unsigned long most = READ_ONCE(limit);

	if (assigned + length > most) {
		twostage_region_report(region, address, "the limit of %#lx bytes is used up", most);
		return -ENOSPC;
	}
	/* Here a real provider makes [address, address + length) accessible. */
	WRITE_ONCE(assigned, assigned + length);
	return 0;
}

static int example_unassign(struct twostage_region *region, u64 address, u64 length)
{
	/* Here a real provider takes [address, address + length) back. */
	WRITE_ONCE(assigned, assigned - length);
	return 0;
}

static u64 example_budget(struct twostage_region *region)
{
	return READ_ONCE(limit);
}

static u64 example_plugged(struct twostage_region *region)
{
	return READ_ONCE(assigned);
}

static const struct twostage_provider example_provider = {
	.name = "example",
	.owner = THIS_MODULE,
	.assign = example_assign,
	.unassign = example_unassign,
	.budget = example_budget,
	.plugged = example_plugged,
};

/* Set and cleared in probe and at unbind, under the lock of the one device. */
static struct twostage_region *region;

/*
 * A driver cannot refuse to be unbound: if this fails, the region stays until
 * the device is unbound once more.
 */
static void example_remove_region(void *dev)
{
	int ret = twostage_region_remove(region);

	if (ret)
		dev_warn(dev, "%s stays (%pe): set its blocks offline, then bind and unbind the device once more\n",
			 twostage_region_name(region), ERR_PTR(ret));
	else
		region = NULL;
}

static int example_probe(struct platform_device *pdev)
{
	const struct twostage_region_params params = {
		.provider = &example_provider,
		.start = start,
		.size = size,
		.nid = NUMA_NO_NODE,
		.memmap_on_memory = true,
	};
	struct twostage_region *added;

	if (!region) {
		added = twostage_region_add(&params);
		if (IS_ERR(added))
			return PTR_ERR(added);
		region = added;
	}
	return devm_add_action_or_reset(&pdev->dev, example_remove_region, &pdev->dev);
}

static struct platform_driver example_driver = {
	.driver.name = KBUILD_MODNAME,
	.probe = example_probe,
};

static struct platform_device *device;

static int __init example_init(void)
{
	int ret;

	device = platform_device_register_simple(KBUILD_MODNAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	ret = platform_driver_register(&example_driver);
	if (ret)
		platform_device_unregister(device);
	return ret;
}

static void __exit example_exit(void)
{
	/*
	 * A region pins the module, so this waits only after "rmmod -f": unbind
	 * the device to end the wait.
	 */
	twostage_wait_for_regions(THIS_MODULE);
	platform_driver_unregister(&example_driver);
	platform_device_unregister(device);
}

module_init(example_init);
module_exit(example_exit);

MODULE_AUTHOR("the twostage developers");
MODULE_DESCRIPTION("Example of a twostage provider");
MODULE_LICENSE("GPL");
