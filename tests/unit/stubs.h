/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files under test use of the kernel, for user space
 *
 * Copyright (C) 2026 the twostage developers
 */
#ifndef UNIT_STUBS_H
#define UNIT_STUBS_H

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;

#define __printf(text, first) __attribute__((format(printf, text, first)))

#define PAGE_SIZE 4096UL
#define PHYS_PFN(address) ((unsigned long)((address) / PAGE_SIZE))
#define PFN_PHYS(pfn) ((u64)(pfn) * PAGE_SIZE)
#define SZ_64M 0x4000000
#define U16_MAX 0xffff

#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define min3(a, b, c) min(min(a, b), c)
#define max_t(type, a, b) max((type)(a), (type)(b))
#define is_power_of_2(n) ((n) && !((n) & ((n) - 1)))
#define IS_ALIGNED(x, a) (!((x) & ((typeof(x))(a) - 1)))
#define ALIGN_DOWN(x, a) ((x) & ~((typeof(x))(a) - 1))
#define ALIGN(x, a) ALIGN_DOWN((x) + ((typeof(x))(a) - 1), a)
#define check_add_overflow(a, b, sum) __builtin_add_overflow(a, b, sum)
#define check_shl_overflow(a, shift, result) \
	(*(result) = (a) << (shift), *(result) >> (shift) != (a))

static inline void strscpy(char *to, const char *from, size_t size)
{
	snprintf(to, size, "%s", from);
}

int kstrtou64(const char *text, unsigned int base, u64 *value);
int kstrtoint(const char *text, unsigned int base, int *value);

/* The last line that was logged */
extern char logged[512];
#define pr_err(format, ...) snprintf(logged, sizeof(logged), format, ##__VA_ARGS__)

/* <linux/list.h> */
struct list_head {
	struct list_head *next, *prev;
};

#define LIST_HEAD(name) struct list_head name = { &(name), &(name) }
#define list_for_each_entry(entry, head, member)					\
	for (entry = container_of((head)->next, typeof(*entry), member);		\
	     &entry->member != (head);							\
	     entry = container_of(entry->member.next, typeof(*entry), member))

static inline void list_add_tail(struct list_head *entry, struct list_head *head)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

static inline void list_del(struct list_head *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
}

/* <linux/xarray.h>, as a sorted array; see stubs.c */
struct xarray {
	struct xarray_entry {
		unsigned long index;
		void *value;
	} entries[64];
	unsigned int count;
};

#define DEFINE_XARRAY(name) struct xarray name
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define XA_PRESENT 0
#define GFP_KERNEL 0
/* Entries in all xarrays, and how many more there is memory for */
extern unsigned int xarray_entries, xarray_room;
void *xa_load(struct xarray *xarray, unsigned long index);
void *xa_find(struct xarray *xarray, unsigned long *index, unsigned long max, int mark);
int xa_insert(struct xarray *xarray, unsigned long index, void *value, int flags);
void xa_erase(struct xarray *xarray, unsigned long index);
void xa_destroy(struct xarray *xarray);

/* Structures, with the members that are used */
struct device {
	const char *name;
};

struct memory_block {
	unsigned long start_section_nr;
	struct device dev;
};

struct resource {
	u64 end;
};

struct range {
	u64 start, end;
};

struct mutex {
	int unused;
};

struct rcu_head {
	int unused;
};

struct work_struct {
	int unused;
};

struct delayed_work {
	int unused;
};

#define dev_name(device) ((device)->name)
#define section_nr_to_pfn(section) ((section) * 32768)

/* The system: 16 nodes, of which 0 to 3 are possible and 0 and 1 online */
#define MAX_NUMNODES 16
#define NUMA_NO_NODE -1
#define first_online_node 0
#define node_possible(nid) ((nid) <= 3)
/* Set by the tests */
extern u64 memory_block_size, last_mappable;
extern int firmware_node;
extern struct resource iomem_resource;
#define memory_block_size_bytes() ((unsigned long)memory_block_size)
#define memory_add_physaddr_to_nid(address) ((void)(address), firmware_node)
#define mhp_get_pluggable_range(direct_map) ((void)(direct_map), (struct range){ 0, last_mappable })

#endif /* UNIT_STUBS_H */
