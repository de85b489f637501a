// SPDX-License-Identifier: GPL-2.0-only
/*
 * Breakdown of the time of add, online, offline and remove by kernel function
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <string.h>

#include "bench.h"

#define CYCLES 3

static const char *const roots[] = {
	"memory_subsys_online", "memory_subsys_offline",
	"add_memory_resource", "__add_memory_resource", "try_remove_memory", NULL
};

/*
 * Tracing a call takes time itself, so only functions that are called seldom,
 * or that matter
 */
static const char *const functions[] = {
	/* twostage */
	"wrapped_online_pages", "wrapped_offline_pages", "block_populate", "block_depopulate",
	"unmap_block", "ram_assign", "ram_unassign", "pfn_walkers_wait",
	"mm_arch_add_memory", "mm_arch_remove_memory", "mm_move_pfn_range_to_zone",
	"mm_sections_set_present", "memory_callback",
	/* direct map and memmap */
	"arch_add_memory", "arch_remove_memory", "init_memory_mapping",
	"kernel_physical_mapping_init", "add_pages", "__add_pages", "__remove_pages",
	"sparse_add_section", "sparse_remove_section", "__populate_section_memmap",
	"vmemmap_populate", "vmemmap_populate_hugepages", "vmemmap_alloc_block_buf", "vmemmap_free",
	"remove_pagetable", "sync_global_pgds", "mhp_init_memmap_on_memory",
	"mhp_deinit_memmap_on_memory", "system_ram_add_block", "system_ram_remove_block",
	/* zones and struct pages */
	"move_pfn_range_to_zone", "remove_pfn_range_from_zone", "memmap_init_range",
	"set_zone_contiguous", "adjust_present_page_count", "init_per_zone_wmark_min",
	"build_all_zonelists", "zone_pcp_disable", "zone_pcp_enable", "__offline_isolated_pages",
	/* pages */
	"online_pages", "offline_pages", "generic_online_page", "__free_pages_core",
	"undo_isolate_page_range", "start_isolate_page_range", "test_pages_isolated",
	"do_migrate_range", "dissolve_free_hugetlb_folios", "dissolve_free_huge_pages",
	/* notifiers */
	"memory_notify", "slab_memory_callback", "slab_mem_going_offline_callback",
	"slab_mem_going_online_callback", "blocking_notifier_call_chain", "kswapd_run",
	"kcompactd_run", "writeback_set_ratelimit", "lru_cache_disable",
	/* locks and waits */
	"mem_hotplug_begin", "mem_hotplug_done", "percpu_down_write", "percpu_up_write",
	"synchronize_rcu", "synchronize_rcu_expedited", "synchronize_rcu_tasks", "flush_work",
	"flush_tlb_all", "flush_tlb_kernel_range",
	/* memory blocks in sysfs */
	"create_memory_block_devices", "remove_memory_block_devices", "device_register",
	"device_add", "device_unregister", "device_del", "sysfs_create_groups", "bus_add_device",
	"bus_probe_device", "kobject_uevent_env", "register_memory_blocks_under_node",
	"register_memory_blocks_under_node_hotplug", "link_mem_sections",
	"unregister_memory_block_under_nodes", NULL
};

static void trace_change(const char *operation, const char *state, const char *contender, int block,
			 bool counts)
{
	int ret;

	trace_on();
	ret = write_file(state, MEMORY "/memory%d/state", block);
	trace_off();
	if (ret)
		diag("memory%d: %s: %s", block, state, strerror(-ret));
	else if (counts)
		trace_print(operation, contender);
}

static void run(void)
{
	const int first = block_at(BENCH_START);
	bool done;
	int cycle, i;

	write_file("offline", MEMORY "/auto_online_blocks");
	if (!ok(bench_dimm_find(BENCH_START + BENCH_SIZE, BENCH_SIZE), "a DIMM can be plugged and unplugged") || !load_twostage(NULL))
		return;
	trace_begin(roots, functions);

	trace_on();
	done = !region_add(BENCH_START, BENCH_SIZE, NULL);
	trace_off();
	trace_print("add", "twostage");
	/*
	 * Measure the second plug, for which the host has backed the memmap's
	 * memory already.
	 */
	done &= bench_dimm_plug() && bench_dimm_unplug();
	trace_on();
	done &= bench_dimm_plug();
	trace_off();
	trace_print("add", "stock");

	for (cycle = 0; cycle < CYCLES; cycle++) {
		for (i = 0; i < BENCH_BLOCKS; i++) {
			trace_change("online", "online_movable", "twostage", first + i, cycle > 0);
			trace_change("online", "online_movable", "stock", bench_dimm_block + i,
				     cycle > 0);
		}
		for (i = BENCH_BLOCKS - 1; i >= 0; i--) {
			trace_change("offline", "offline", "twostage", first + i, cycle > 0);
			trace_change("offline", "offline", "stock", bench_dimm_block + i,
				     cycle > 0);
		}
	}

	trace_on();
	done &= !region_remove(0);
	trace_off();
	trace_print("remove", "twostage");
	trace_on();
	done &= bench_dimm_unplug();
	trace_off();
	trace_print("remove", "stock");
	trace_end();
	ok(done, "a region and a DIMM are added and removed with tracing");
	host("object_del mem1");
	unload_twostage();
}

GROUP(group_bench_breakdown) = {
	.name = "bench-breakdown", .title = "breakdown of times by kernel function", .run = run,
};
