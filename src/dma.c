// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether the devices in use can reach memory
 *
 * A device that can address only 32 bits does I/O to memory above 4 GiB through
 * bounce buffers (SWIOTLB) or an IOMMU. On x86 the kernel decides at boot
 * whether it needs bounce buffers: from the highest address that is RAM, or
 * that the firmware says may become RAM (SRAT). RAM that is hidden by memmap=
 * or mem= does not count. If the kernel decided against bounce buffers, and
 * memory above 4 GiB is added later, each I/O of such a device to that memory
 * fails. So memory that a device in use cannot reach is refused.
 *
 * Setting up bounce buffers later (swiotlb_init_late()) is no alternative. They
 * would reach devices that exist already, since all devices refer to the one
 * default pool. But the pool would be limited to one allocation of the page
 * allocator (4 MiB instead of 64 MiB), so I/O would fail under load; drivers
 * that are bound have sized their requests for a system without bounce buffers;
 * and it cannot be undone.
 *
 * Only PCI devices are looked at. A device is in use if it has a driver that
 * has enabled bus mastering: a PCI device cannot do DMA without that, and the
 * drivers of bridges, of the SMBus and the like, which leave the mask at its
 * default of 32 bits and do no DMA, do not enable it. (The driver of a PCI
 * bridge does, for the devices behind it; its own mask says nothing.) Other
 * devices have no such mark: a platform device has a mask of 32 bits whether it
 * does DMA or not.
 *
 * The coherent mask does not matter, because coherent allocations come from
 * memory that the device can reach.
 *
 * Copyright (C) 2026 the twostage developers
 */
#define pr_fmt(fmt) "twostage: " fmt

#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/iommu.h>
#include <linux/ioport.h>
#include <linux/minmax.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/swiotlb.h>

#include "dma.h"
#include "report.h"
#include "twostage_arch.h"

/* The end of the highest block that was to come online; never goes down. */
static u64 highest_end;

/* Some kernels do not export is_swiotlb_active(). */
static bool has_bounce_buffers(struct device *dev)
{
#ifdef CONFIG_SWIOTLB
	return dev->dma_io_tlb_mem && dev->dma_io_tlb_mem->nslabs;
#else
	return false;
#endif
}

static bool has_iommu(struct device *dev)
{
#ifdef CONFIG_IOMMU_API
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);

	return domain && domain->type & __IOMMU_DOMAIN_DMA_API;
#else
	return false;
#endif
}

/* The device's driver hands it physical addresses. */
static bool is_mapped_directly(struct device *dev)
{
	return !has_bounce_buffers(dev) && !has_iommu(dev);
}

static bool is_bridge(struct pci_dev *pdev)
{
	return pci_is_bridge(pdev) || pdev->class >> 16 == PCI_BASE_CLASS_BRIDGE;
}

/*
 * Does not take the device's lock: a driver that is being bound holds it while
 * it waits for device_hotplug_lock to add memory. If a driver is bound at this
 * moment, the notifier below is called.
 */
static bool is_in_use(struct pci_dev *pdev)
{
	return READ_ONCE(pdev->dev.driver) && pdev->is_busmaster && !is_bridge(pdev);
}

/* The highest address that a device can reach */
static u64 dma_limit(struct device *dev)
{
	return min_not_zero(dma_get_mask(dev), dev->bus_dma_limit);
}

/* A device in use that cannot reach @last; the caller drops the reference. */
static struct pci_dev *find_limited(u64 last)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev)
		if (is_in_use(pdev) && dma_limit(&pdev->dev) < last && is_mapped_directly(&pdev->dev))
			return pdev;
	return NULL;
}

#define LIMITED_FORMAT "%s %s can reach only addresses up to %#llx, and there are no bounce buffers (SWIOTLB), so its I/O to this memory would fail: boot with %s, or unbind its driver"
#define LIMITED_ARGUMENTS(pdev) \
	dev_driver_string(&(pdev)->dev), pci_name(pdev), dma_limit(&(pdev)->dev), \
	ARCH_BOUNCE_BUFFER_PARAMETER

static bool any_mapped_directly(void)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		if (!is_bridge(pdev) && is_mapped_directly(&pdev->dev)) {
			pci_dev_put(pdev);
			return true;
		}
	}
	return false;
}

/**
 * dma_check_add() - whether the devices in use can reach all of a new region
 * @start: of the region, physical address in bytes
 * @size: of the region in bytes
 *
 * Context: Process context.
 * Return: 0; -ERANGE if a device cannot, which is named in the log.
 */
int dma_check_add(u64 start, u64 size)
{
	const u64 last = start + size - 1;
	struct pci_dev *pdev;

	pdev = find_limited(last);
	if (!pdev)
		return 0;
	pr_err("region [%#llx-%#llx]: refused: " LIMITED_FORMAT "\n", start, last,
	       LIMITED_ARGUMENTS(pdev));
	pci_dev_put(pdev);
	return -ERANGE;
}

/**
 * dma_added() - a region was added: log once that other devices may not reach
 *	it
 * @start: of the region, physical address in bytes
 * @size: of the region in bytes
 *
 * Context: Process context.
 */
void dma_added(u64 start, u64 size)
{
	if (start + size - 1 > DMA_BIT_MASK(32) && any_mapped_directly())
		pr_info_once("there are no bounce buffers (SWIOTLB): all devices in use can reach this memory, but once a driver is bound to one that is limited to addresses up to %#llx, no more memory above that comes online: boot with %s if you need such a device\n",
			     DMA_BIT_MASK(32), ARCH_BOUNCE_BUFFER_PARAMETER);
}

/**
 * dma_check_online() - whether the devices in use can reach all of a block
 * @block: the block
 *
 * Context: Process context, mem_hotplug_lock held for writing.
 * Return: 0; -ERANGE if a device cannot, which is named in the log.
 */
int dma_check_online(const struct twostage_block *block)
{
	const u64 end = block_start(block) + memory_block_size_bytes();
	struct pci_dev *pdev;

	WRITE_ONCE(highest_end, max(highest_end, end));
	pdev = find_limited(end - 1);
	if (!pdev)
		return 0;
	twostage_region_report(block->region, block_start(block), "refused: " LIMITED_FORMAT,
			       LIMITED_ARGUMENTS(pdev));
	pci_dev_put(pdev);
	return -ERANGE;
}

static bool is_ram_above(u64 limit)
{
	return limit < iomem_resource.end &&
	       region_intersects(limit + 1, iomem_resource.end - limit, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) != REGION_DISJOINT;
}

/* Memory that is online already cannot be taken away: report it. */
static int driver_bound(struct notifier_block *notifier, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);
	u64 limit;

	if (action != BUS_NOTIFY_BOUND_DRIVER)
		return NOTIFY_DONE;
	limit = dma_limit(&pdev->dev);
	if (is_in_use(pdev) && limit < READ_ONCE(highest_end) && is_ram_above(limit) &&
	    is_mapped_directly(&pdev->dev))
		pr_err("%s %s can reach only addresses up to %#llx, memory above that is online, and there are no bounce buffers (SWIOTLB): its I/O to that memory fails: unbind its driver, or set that memory offline, and boot with %s\n",
		       dev_driver_string(&pdev->dev), pci_name(pdev), limit, ARCH_BOUNCE_BUFFER_PARAMETER);
	return NOTIFY_OK;
}

static struct notifier_block pci_notifier = { .notifier_call = driver_bound };

/**
 * dma_init() - watch for devices that cannot reach memory which is online
 *
 * Return: 0 or an error.
 */
int dma_init(void)
{
	return IS_ENABLED(CONFIG_PCI) ? bus_register_notifier(&pci_bus_type, &pci_notifier) : 0;
}

/** dma_exit() - undo dma_init() */
void dma_exit(void)
{
	if (IS_ENABLED(CONFIG_PCI))
		bus_unregister_notifier(&pci_bus_type, &pci_notifier);
}
