// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs to allocate and free pages, and to map one page for the kernel,
 * on one CPU or several at once. For bench/bench; vm/bench/kernel.c asks:
 *
 *   echo WHAT CPUS ORDER NR ROUNDS GFP >/sys/kernel/debug/bench_pages/run
 *   cat /sys/kernel/debug/bench_pages/run
 *
 * hot		allocate a page and free it, the same again and again
 * cold		allocate NR pages, then free them: more than the per-CPU lists hold
 * mermap	open and close a mermap window to a page
 * mermap_halves open NR windows, then close them
 * vmap		vmap() and vunmap() of a page
 * vm_map_ram	vm_map_ram() and vm_unmap_ram() of a page
 * kmap_local	what kmap_local_page() and kunmap_local() of a page in high memory do
 *
 * GFP is kernel, user or unmapped. The answer is a line for each part of WHAT: its
 * name, and the median, the least and the most of ROUNDS rounds, in cycles of the
 * time stamp counter from when the last CPU begins until the last one is done.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/timex.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>
#ifdef CONFIG_MERMAP
#include <linux/mermap.h>
#endif
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
#include <linux/unmapped.h>
#endif

#define MAX_ROUNDS	101
#define MAX_PARTS	2

/* What one CPU does. */
struct bench_cpu {
	struct work_struct work;
	struct bench *bench;
	bool first;
	unsigned int held;
	struct page **pages;
#ifdef CONFIG_MERMAP
	struct mermap_window window[MERMAP_SLOTS];
#endif
};

struct bench {
	const struct bench_what *what;
	unsigned int cpus, order, nr, rounds;
	gfp_t gfp;
	struct mm_struct *mm;

	/* Where the CPUs meet; the last one to come takes the time */
	atomic_t arrived;
	unsigned int turn;
	cycles_t now;

	atomic_t failed;
	cycles_t span[MAX_PARTS][MAX_ROUNDS];
};

struct bench_what {
	const char *name;
	/* Needs pages that are kept, and how many of them */
	bool keeps_one, keeps_all;
	/* Needs the mm of who asked */
	bool needs_mm;
	/* NR cannot be more than that, if not 0 */
	unsigned int most;
	struct {
		const char *name;
		void (*run)(struct bench *bench, struct bench_cpu *cpu);
	} part[MAX_PARTS];
};

static void run_hot(struct bench *bench, struct bench_cpu *cpu)
{
	for (unsigned int i = 0; i < bench->nr; i++) {
		struct page *page = alloc_pages(bench->gfp, bench->order);

		if (!page) {
			atomic_inc(&bench->failed);
			return;
		}
		__free_pages(page, bench->order);
	}
}

static void run_alloc(struct bench *bench, struct bench_cpu *cpu)
{
	unsigned int i;

	for (i = 0; i < bench->nr; i++) {
		cpu->pages[i] = alloc_pages(bench->gfp, bench->order);
		if (!cpu->pages[i]) {
			atomic_inc(&bench->failed);
			break;
		}
	}
	cpu->held = i;
}

static void run_free(struct bench *bench, struct bench_cpu *cpu)
{
	for (unsigned int i = 0; i < cpu->held; i++)
		__free_pages(cpu->pages[i], bench->order);
	cpu->held = 0;
}

#ifdef CONFIG_MERMAP
static void run_mermap(struct bench *bench, struct bench_cpu *cpu)
{
	struct page *page = cpu->pages[0];

	for (unsigned int i = 0; i < bench->nr; i++) {
		struct mermap_window w = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);

		if (!mermap_addr(w)) {
			atomic_inc(&bench->failed);
			return;
		}
		mermap_put(w);
	}
}

static void run_mermap_get(struct bench *bench, struct bench_cpu *cpu)
{
	struct page *page = cpu->pages[0];

	for (unsigned int i = 0; i < bench->nr; i++)
		cpu->window[i] = mermap_get(page, PAGE_SIZE, PAGE_KERNEL);
}

static void run_mermap_put(struct bench *bench, struct bench_cpu *cpu)
{
	for (unsigned int i = 0; i < bench->nr; i++) {
		if (!mermap_addr(cpu->window[i])) {
			atomic_inc(&bench->failed);
			continue;
		}
		mermap_put(cpu->window[i]);
	}
}
#endif

static void run_vmap(struct bench *bench, struct bench_cpu *cpu)
{
	for (unsigned int i = 0; i < bench->nr; i++) {
		void *addr = vmap(cpu->pages, 1, VM_MAP, PAGE_KERNEL);

		if (!addr) {
			atomic_inc(&bench->failed);
			return;
		}
		vunmap(addr);
	}
}

static void run_vm_map_ram(struct bench *bench, struct bench_cpu *cpu)
{
	for (unsigned int i = 0; i < bench->nr; i++) {
		void *addr = vm_map_ram(cpu->pages, 1, NUMA_NO_NODE);

		if (!addr) {
			atomic_inc(&bench->failed);
			return;
		}
		vm_unmap_ram(addr, 1);
	}
}

#ifdef CONFIG_DEBUG_KMAP_LOCAL_FORCE_MAP
static void run_kmap_local(struct bench *bench, struct bench_cpu *cpu)
{
	struct page *page = cpu->pages[0];

	for (unsigned int i = 0; i < bench->nr; i++) {
		/* Without HIGHMEM, kmap_local_page() is page_address() even so */
		void *addr = __kmap_local_page_prot(page, PAGE_KERNEL);

		/* The address of the direct map: nothing was measured */
		if (addr == page_address(page)) {
			atomic_inc(&bench->failed);
			return;
		}
		kunmap_local_indexed(addr);
	}
}
#endif

static const struct bench_what whats[] = {
	{ .name = "hot", .part = { { "pair", run_hot } } },
	{ .name = "cold", .keeps_all = true,
	  .part = { { "alloc", run_alloc }, { "free", run_free } } },
#ifdef CONFIG_MERMAP
	{ .name = "mermap", .keeps_one = true, .needs_mm = true,
	  .part = { { "pair", run_mermap } } },
	{ .name = "mermap_halves", .keeps_one = true, .needs_mm = true, .most = MERMAP_SLOTS - 1,
	  .part = { { "get", run_mermap_get }, { "put", run_mermap_put } } },
#endif
	{ .name = "vmap", .keeps_one = true, .part = { { "pair", run_vmap } } },
	{ .name = "vm_map_ram", .keeps_one = true,
	  .part = { { "pair", run_vm_map_ram } } },
#ifdef CONFIG_DEBUG_KMAP_LOCAL_FORCE_MAP
	{ .name = "kmap_local", .keeps_one = true,
	  .part = { { "pair", run_kmap_local } } },
#endif
};

/*
 * Wait for the others. A CPU that waits does next to nothing: in an emulation
 * that counts instructions, others run meanwhile.
 */
static cycles_t meet(struct bench *bench)
{
	unsigned int turn = READ_ONCE(bench->turn);

	if (atomic_inc_return(&bench->arrived) == bench->cpus) {
		atomic_set(&bench->arrived, 0);
		bench->now = get_cycles();
		/* Pairs with those who wait */
		smp_store_release(&bench->turn, turn + 1);
	} else {
		while (smp_load_acquire(&bench->turn) == turn)
			cpu_relax();
	}
	/* Nobody can meet again before this CPU does */
	return bench->now;
}

static void bench_work(struct work_struct *work)
{
	struct bench_cpu *cpu = container_of(work, struct bench_cpu, work);
	struct bench *bench = cpu->bench;

	if (bench->what->needs_mm)
		kthread_use_mm(bench->mm);
	for (unsigned int round = 0; round < bench->rounds; round++) {
		for (int i = 0; i < MAX_PARTS && bench->what->part[i].run; i++) {
			cycles_t start = meet(bench), end;

			bench->what->part[i].run(bench, cpu);
			end = meet(bench);
			if (cpu->first)
				bench->span[i][round] = end - start;
		}
		cond_resched();
	}
	if (bench->what->needs_mm)
		kthread_unuse_mm(bench->mm);
}

static struct workqueue_struct *bench_wq;
static struct dentry *bench_dir;
static DEFINE_MUTEX(bench_lock);
static char answer[512];
static size_t answer_len;

static int compare_cycles(const void *a, const void *b)
{
	cycles_t x = *(const cycles_t *)a, y = *(const cycles_t *)b;

	return (x > y) - (x < y);
}

static void give_back(struct bench *bench, struct bench_cpu *work, unsigned int nr)
{
	while (nr--) {
		if (work[nr].pages && bench->what->keeps_one && work[nr].pages[0])
			__free_pages(work[nr].pages[0], 0);
		kvfree(work[nr].pages);
	}
	kfree(work);
}

static struct bench_cpu *prepare(struct bench *bench)
{
	unsigned int keep = bench->what->keeps_all ? bench->nr : bench->what->keeps_one;
	struct bench_cpu *work = kcalloc(bench->cpus, sizeof(*work), GFP_KERNEL);

	if (!work)
		return NULL;
	for (unsigned int i = 0; i < bench->cpus; i++) {
		work[i].bench = bench;
		work[i].first = !i;
		INIT_WORK(&work[i].work, bench_work);
		if (keep) {
			work[i].pages = kvcalloc(keep, sizeof(*work[i].pages), GFP_KERNEL);
			if (!work[i].pages)
				goto fail;
		}
		if (bench->what->keeps_one) {
			work[i].pages[0] = alloc_page(bench->gfp);
			if (!work[i].pages[0])
				goto fail;
		}
	}
	return work;
fail:
	give_back(bench, work, bench->cpus);
	return NULL;
}

/* On CPUs 0 to @cpus - 1. */
static int run(struct bench *bench)
{
	struct bench_cpu *work;
	unsigned int i;
	int err = 0;

#ifdef CONFIG_MERMAP
	if (bench->what->needs_mm) {
		bench->mm = current->mm;
		err = mermap_mm_prepare(bench->mm);
		if (err)
			return err;
	}
#endif
	work = prepare(bench);
	if (!work)
		return -ENOMEM;

	cpus_read_lock();
	for (i = 0; i < bench->cpus; i++) {
		if (!cpu_online(i))
			err = -ENODEV;
	}
	for (i = 0; i < bench->cpus && !err; i++)
		queue_work_on(i, bench_wq, &work[i].work);
	for (i = 0; i < bench->cpus && !err; i++)
		flush_work(&work[i].work);
	cpus_read_unlock();

	give_back(bench, work, bench->cpus);
	if (!err && atomic_read(&bench->failed))
		err = -ENOMEM;
	return err;
}

static gfp_t gfp_of(const char *name)
{
	if (!strcmp(name, "kernel"))
		return GFP_KERNEL;
	if (!strcmp(name, "user"))
		return GFP_HIGHUSER_MOVABLE;
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	if (!strcmp(name, "unmapped"))
		return GFP_KERNEL | __GFP_UNMAPPED;
#endif
	return 0;
}

static ssize_t run_write(struct file *file, const char __user *user, size_t len,
			 loff_t *pos)
{
	char text[128], name[32], gfp[16];
	struct bench *bench;
	ssize_t err;

	if (len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, user, len))
		return -EFAULT;
	text[len] = 0;
	bench = kvzalloc(sizeof(*bench), GFP_KERNEL);
	if (!bench)
		return -ENOMEM;

	err = -EINVAL;
	if (sscanf(text, "%31s %u %u %u %u %15s", name, &bench->cpus, &bench->order,
		   &bench->nr, &bench->rounds, gfp) != 6)
		goto out;
	for (unsigned int i = 0; i < ARRAY_SIZE(whats); i++) {
		if (!strcmp(whats[i].name, name))
			bench->what = &whats[i];
	}
	bench->gfp = gfp_of(gfp) | __GFP_NOWARN;
	if (bench->order)
		bench->gfp |= __GFP_COMP;
	if (!bench->what || !gfp_of(gfp)) {
		err = -EOPNOTSUPP;
		goto out;
	}
	if (!bench->cpus || bench->cpus > nr_cpu_ids || bench->order > MAX_PAGE_ORDER ||
	    !bench->nr || (bench->what->most && bench->nr > bench->what->most) ||
	    !bench->rounds || bench->rounds > MAX_ROUNDS)
		goto out;

	mutex_lock(&bench_lock);
	answer_len = 0;
	err = run(bench);
	if (!err) {
		for (int i = 0; i < MAX_PARTS && bench->what->part[i].run; i++) {
			cycles_t *span = bench->span[i];

			sort(span, bench->rounds, sizeof(*span), compare_cycles, NULL);
			answer_len += scnprintf(answer + answer_len,
						sizeof(answer) - answer_len,
						"%s %llu %llu %llu\n",
						bench->what->part[i].name,
						span[bench->rounds / 2], span[0],
						span[bench->rounds - 1]);
		}
	}
	mutex_unlock(&bench_lock);
out:
	kvfree(bench);
	return err ?: len;
}

static ssize_t run_read(struct file *file, char __user *user, size_t len, loff_t *pos)
{
	ssize_t ret;

	mutex_lock(&bench_lock);
	ret = simple_read_from_buffer(user, len, pos, answer, answer_len);
	mutex_unlock(&bench_lock);
	return ret;
}

static const struct file_operations run_fops = {
	.owner = THIS_MODULE,
	.read = run_read,
	.write = run_write,
	.llseek = default_llseek,
};

static int __init bench_init(void)
{
#ifdef CONFIG_PAGE_ALLOC_UNMAPPED
	/* Where the machine cannot, requests fail, and that is told then */
	unmapped_enable();
#endif
	bench_wq = alloc_workqueue("bench_pages", WQ_PERCPU | WQ_CPU_INTENSIVE, 0);
	if (!bench_wq)
		return -ENOMEM;
	bench_dir = debugfs_create_dir("bench_pages", NULL);
	debugfs_create_file("run", 0600, bench_dir, NULL, &run_fops);
	return 0;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	debugfs_remove(bench_dir);
	destroy_workqueue(bench_wq);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("The cost of allocating, freeing and mapping pages");
MODULE_LICENSE("GPL");
