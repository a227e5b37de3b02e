// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take one pageblock out of the direct map, and put it back.
 *
 * A pageblock is 2 MiB here, so it is one PMD entry of the direct map, and
 * taking it out is one store. set_direct_map_valid_noflush() is not used: it
 * works on 4 KiB pages, loses the global bit, can fail half-way, and what it
 * leaves behind is never whole again.
 *
 * The not-present value is 0
 * --------------------------
 * An entry of 0 is pmd_none(), which every walker of kernel page tables knows
 * as a hole. Any other value makes somebody stumble: the PFN and the attributes
 * of the block without _PAGE_PRESENT would need _PAGE_PSE and _PAGE_GLOBAL
 * (_PAGE_PROTNONE) cleared to not be pmd_present(), would be pmd_bad(), would be
 * walked as a page table by phys_pmd_init() when the memory is added again
 * after a hot-remove, and would be split or changed by set_memory_*(), which
 * then would be lost, or cost a page table, with the next remap.
 *
 * A terminal fault on an entry of 0 (L1TF) speculates on physical address 0,
 * which holds no secrets, as after every pmd_clear(): the page is reserved at
 * boot for this. See __pte_needs_invert().
 *
 * What the block had is not saved, as there is nothing to save: only a block
 * whose entry is, in every bit, what the direct map gives to ordinary memory is
 * ever taken. direct_map_block_pmd() computes that value.
 *
 * Locks and races
 * ---------------
 * Whoever changes PMDs or PUDs of the direct map (set_memory_*(), which
 * memory_failure() uses on any page) reads, decides and writes under pgd_lock.
 * So unmap, which can afford it, takes pgd_lock for its own look and store:
 *
 *  - a split to 4 KiB can't overwrite the not-present value with a page table
 *    made from the entry it had read before; a split that came first makes
 *    unmap fail, without a change.
 *  - a 1 GiB collapse (CPA_COLLAPSE) can't miss that a block went away. One
 *    that came between prepare and unmap makes unmap fail.
 *
 * Remap runs under zone->lock and can't take it. It needs no lock, because as
 * long as the entry is 0
 *
 *  - nobody else writes to it: set_memory_*() passes over holes in the direct
 *    map, and looks again under pgd_lock before it writes to an entry. (The
 *    exception is set_memory_encrypted() and set_memory_decrypted(), which would
 *    fill the hole. That is for the owner of a page to ask for, and memory off
 *    the direct map can't be shared with a hypervisor that way.)
 *  - the page table it is in can't go away: collapse_pud_page() wants all 512
 *    entries present, and the store that makes them so is the last access to the
 *    table; memory hot-remove keeps a table of the direct map as long as the
 *    1 GiB has online memory, see direct_map_table_in_use().
 *
 * Two callers can prepare blocks of one 1 GiB entry at the same time. Both bring
 * a page table, one of them is used.
 *
 * Walkers without a lock see the old value, 0, or the old value again. They must
 * read an entry once, as lookup_address() does.
 *
 * Aliases
 * -------
 * The kernel image is mapped a second time at __START_KERNEL_map. Freed init
 * memory, and what lies between the sections, gets to the page allocator and
 * stays in that map, so blocks that overlap it are never taken. The real-mode
 * trampoline's page table has a copy of the direct map's first PUD entry: it
 * refers to the same PMD table (memory below 2 MiB is never mapped by a 1 GiB
 * entry), and thereby has the same holes. The kernel half of every other page
 * table shares its tables with init_mm.
 *
 * What the files say
 * ------------------
 * DirectMap2M in /proc/meminfo goes on counting a block that is not mapped:
 * the DirectMap lines say how finely the direct map is divided, their sum is the
 * memory that it was made for, and remap can't take the lock that protects them.
 *
 * 1 GiB entries
 * -------------
 * They are split here. direct_map_mend.c puts them together when all that they
 * were split into is there again.
 */
#include <linux/bitmap.h>
#include <linux/direct_map.h>
#include <linux/efi.h>
#include <linux/error-injection.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pgalloc.h>
#include <linux/pgtable.h>
#include <linux/spinlock.h>
#include <linux/vmstat.h>

#include <asm/efi.h>
#include <asm/sections.h>
#include <asm/tlbflush.h>

#include "mm_internal.h"

static unsigned long block_addr(const struct page *block)
{
	VM_WARN_ON_ONCE(!IS_ALIGNED(page_to_pfn(block), PTRS_PER_PTE));
	return (unsigned long)page_address(block);
}

/* What the direct map holds for a whole 2 MiB of ordinary memory. */
static pmd_t direct_map_block_pmd(const struct page *block)
{
	return pfn_pmd(page_to_pfn(block), canon_pgprot(PAGE_KERNEL_LARGE));
}

/*
 * The block's PMD entry, or NULL if something larger maps the block. What the
 * caller knows (pgd_lock held, or the block is not mapped) keeps the table.
 */
static pmd_t *direct_map_pmd(unsigned long addr)
{
	pud_t *pudp = direct_map_pud(addr);
	pud_t pud;

	if (!pudp)
		return NULL;
	/* Pairs with splits and collapses of the 1 GiB entry */
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud) || pud_leaf(pud))
		return NULL;
	return pmd_offset(&pud, addr);
}

/* Is @pmd, in every bit, what the block has when it is mapped? Any other stays. */
static bool direct_map_pmd_plain(pmd_t pmd, const struct page *block)
{
	return pmd_val(pmd) == pmd_val(direct_map_block_pmd(block));
}

/* The kernel's image has a second mapping, up to the end of a 2 MiB page. */
static bool block_has_alias(const struct page *block)
{
	phys_addr_t image_start = ALIGN_DOWN(__pa_symbol(_text), PMD_SIZE);
	phys_addr_t image_end = __pa_symbol(roundup(_brk_end, PMD_SIZE) - 1);
	phys_addr_t start = page_to_phys(block);

	return start <= image_end && start + PMD_SIZE > image_start;
}

/* Calls of 32-bit firmware run in page tables with another map of all memory. */
static bool firmware_has_alias(void)
{
#ifdef CONFIG_EFI_MIXED
	return efi_enabled(EFI_BOOT) && efi_is_mixed();
#else
	return false;
#endif
}

/**
 * arch_direct_map_can_flip - can this machine take pageblocks out of the direct map?
 *
 * Context: Any, after the direct map was set up. The answer never changes.
 * Return: true if the other functions of linux/direct_map.h may be called.
 */
bool arch_direct_map_can_flip(void)
{
	/*
	 * debug_pagealloc maps everything by 4 KiB pages and changes them from
	 * any context. Xen PV has no large pages, and the hypervisor follows
	 * every change of a page table.
	 */
	return boot_cpu_has(X86_FEATURE_PSE) && !debug_pagealloc_enabled() &&
	       !cpu_feature_enabled(X86_FEATURE_XENPV) && !firmware_has_alias() &&
	       pageblock_order == PMD_ORDER;
}

/**
 * arch_direct_map_block_kind - what does it take to unmap this pageblock?
 * @block: first page of the pageblock, in memory that is online and stays so.
 *	   The caller need not own it.
 *
 * For who chooses a block among many: no lock, a few loads. It is a hint, as
 * the answer can be out of date before it is given; what it says is what
 * arch_direct_map_block_prepare() would find.
 *
 * Context: Any, with any locks held.
 * Return: see &enum direct_map_block.
 */
enum direct_map_block arch_direct_map_block_kind(const struct page *block)
{
	unsigned long addr = block_addr(block);
	pud_t *pudp = direct_map_pud(addr);
	pud_t pud;
	pmd_t pmd;

	if (!pudp || block_has_alias(block))
		return DIRECT_MAP_BLOCK_FIXED;
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud))
		return DIRECT_MAP_BLOCK_FIXED;

	/* The 1 GiB entry's attributes are those of each of its blocks. */
	if (pud_leaf(pud))
		return pgprot_val(pud_pgprot(pud)) ==
		       pgprot_val(canon_pgprot(PAGE_KERNEL_LARGE)) ?
		       DIRECT_MAP_BLOCK_LARGE : DIRECT_MAP_BLOCK_FIXED;

	/* The table may be on its way out: see arch_direct_map_mend() */
	pmd = READ_ONCE(*pmd_offset(&pud, addr));
	return direct_map_pmd_plain(pmd, block) ?
	       DIRECT_MAP_BLOCK_PLAIN : DIRECT_MAP_BLOCK_FIXED;
}

/*
 * One ordinary page for a table of 2 MiB entries. No reclaim: the caller is in the
 * middle of an allocation, and may hold a lock that NOFS and NOIO requests take.
 */
static noinline pte_t *direct_map_alloc_table(void)
{
	struct ptdesc *ptdesc;

	ptdesc = pagetable_alloc((GFP_PGTABLE_KERNEL & ~__GFP_DIRECT_RECLAIM) |
				 __GFP_NOWARN, 0);
	if (!ptdesc)
		return NULL;
	/* A split of any level makes it a PTE table, see pte_alloc_one_kernel() */
	if (!pagetable_pte_ctor(&init_mm, ptdesc)) {
		pagetable_free(ptdesc);
		return NULL;
	}
	ptdesc_set_kernel(ptdesc);
	return ptdesc_address(ptdesc);
}
ALLOW_ERROR_INJECTION(direct_map_alloc_table, NULL);

/* Make the 1 GiB entry around @addr a table of 2 MiB entries. */
static noinline int direct_map_split_block(unsigned long addr)
{
	pte_t *table = direct_map_alloc_table();

	if (!table)
		return -ENOMEM;
	/* Somebody else may have split it meanwhile: the entry is checked later. */
	if (!split_direct_map_1g(addr, table))
		pte_free_kernel(&init_mm, table);
	return 0;
}
ALLOW_ERROR_INJECTION(direct_map_split_block, ERRNO);

/**
 * arch_direct_map_block_prepare - make one pageblock ready to be unmapped
 * @block: first page of the pageblock, all of which the caller owns
 *
 * Splits a 1 GiB entry of the direct map, which costs one page table and one
 * shootdown for the whole 1 GiB, and checks that the block's entry is one that
 * can be taken out and put back.
 *
 * The page table comes from an ordinary allocation that does not reclaim.
 *
 * Context: Process context, interrupts on. May sleep.
 * Return: 0 if arch_direct_map_block_unmap() can be expected to succeed.
 *         -EINVAL if the block has another mapping that would stay.
 *         -EBUSY if it is mapped in 4 KiB pieces, with other attributes, or not
 *         at all.
 *         -ENOMEM if there is no page table for a split.
 *         All but -ENOMEM: try another block. Nothing was changed.
 */
int arch_direct_map_block_prepare(const struct page *block)
{
	int err;

	might_sleep();

	if (block_has_alias(block))
		return -EINVAL;

	/* Don't split a 1 GiB entry for nothing */
	if (arch_direct_map_block_kind(block) == DIRECT_MAP_BLOCK_LARGE) {
		err = direct_map_split_block(block_addr(block));
		if (err)
			return err;
	}

	guard(spinlock)(&pgd_lock);
	if (arch_direct_map_block_kind(block) != DIRECT_MAP_BLOCK_PLAIN)
		return -EBUSY;
	return 0;
}
ALLOW_ERROR_INJECTION(arch_direct_map_block_prepare, ERRNO);

/**
 * arch_direct_map_block_unmap - take one pageblock out of the direct map
 * @block: first page of the pageblock, all of which the caller owns;
 *	   arch_direct_map_block_prepare() returned 0 for it
 *
 * One store. CPUs can go on using the translations that they have until
 * arch_direct_map_flush() has returned.
 *
 * Context: Process context, interrupts on, no spinlock held.
 * Return: 0, or -EBUSY if somebody changed the entry after it was prepared
 *         (memory_failure() works on any page). Nothing was changed then.
 */
int arch_direct_map_block_unmap(const struct page *block)
{
	unsigned long addr = block_addr(block);
	pmd_t *pmd;

	might_sleep();
	lockdep_assert_irqs_enabled();

	guard(spinlock)(&pgd_lock);
	pmd = direct_map_pmd(addr);
	if (!pmd || !direct_map_pmd_plain(*pmd, block))
		return -EBUSY;
	set_pmd(pmd, __pmd(0));
	return 0;
}
ALLOW_ERROR_INJECTION(arch_direct_map_block_unmap, ERRNO);

/**
 * arch_direct_map_block_remap - put one pageblock back into the direct map
 * @block: first page of the pageblock, all of which the caller owns, and which
 *	   arch_direct_map_block_unmap() took out
 *
 * One store; the entry is what it was in every bit. No flush is needed: CPUs
 * don't cache entries that are not present. It can't fail.
 *
 * Context: Any, with any locks held.
 */
void arch_direct_map_block_remap(const struct page *block)
{
	pmd_t *pmd = direct_map_pmd(block_addr(block));

	/* Nobody but us makes or fills such a hole, and it holds its table. */
	if (WARN_ON_ONCE(!pmd))
		return;
	VM_WARN_ON_ONCE(!pmd_none(READ_ONCE(*pmd)));
	set_pmd(pmd, direct_map_block_pmd(block));
}

/**
 * arch_direct_map_pieces_prepare - get ready to map a pageblock by the page
 *
 * Context: Process context, interrupts on.
 * Return: a page table for arch_direct_map_block_remap_pieces(), or NULL.
 */
void *arch_direct_map_pieces_prepare(void)
{
	return direct_map_alloc_table();
}

/**
 * arch_direct_map_block_remap_pieces - put one pageblock back, in part
 * @block: first page of the pageblock, which arch_direct_map_block_unmap() took
 *	   out, and all of which the caller owns but for pages that are never used
 * @table: what arch_direct_map_pieces_prepare() returned
 * @absent: a bit for each page that stays out for good
 *
 * As set_mce_nospec() does to a block of ordinary memory: it has 4 KiB entries then,
 * and a page that is hardware-poisoned has none that is present.
 * arch_direct_map_block_prepare() refuses the block from now on. No flush is
 * needed, as with arch_direct_map_block_remap().
 *
 * Context: Any, with any locks held. arch_direct_map_pieces_finish() has to follow.
 */
void arch_direct_map_block_remap_pieces(const struct page *block, void *table,
					const unsigned long *absent)
{
	pmd_t *pmd = direct_map_pmd(block_addr(block));
	unsigned long pfn = page_to_pfn(block);
	pte_t *ptes = table;

	/* As above; the table is lost then, and the block stays out */
	if (WARN_ON_ONCE(!pmd))
		return;
	VM_WARN_ON_ONCE(!pmd_none(READ_ONCE(*pmd)));

	/* 0, as memory hot-remove frees a table with nothing else in it */
	for (unsigned int i = 0; i < PTRS_PER_PTE; i++)
		set_pte(ptes + i, test_bit(i, absent) ? __pte(0) :
			pfn_pte(pfn + i, canon_pgprot(PAGE_KERNEL)));
	/* Whoever finds the table finds what is in it */
	smp_wmb();
	set_pmd(pmd, __pmd(__pa(table) | _KERNPG_TABLE));
}

/**
 * arch_direct_map_pieces_finish - count a pageblock that is mapped by the page
 * @table: what arch_direct_map_pieces_prepare() returned
 * @absent: as for arch_direct_map_block_remap_pieces(); NULL: that was not called,
 *	    and the table is freed
 *
 * Apart, as the DirectMap lines have a lock that cannot be taken there.
 *
 * Context: Process context, interrupts on.
 */
void arch_direct_map_pieces_finish(void *table, const unsigned long *absent)
{
	if (!absent) {
		pte_free_kernel(&init_mm, table);
		return;
	}
	update_page_count(PG_LEVEL_2M, -1);
	update_page_count(PG_LEVEL_4K, PTRS_PER_PTE - bitmap_weight(absent, PTRS_PER_PTE));
	count_vm_event(DIRECT_MAP_LEVEL2_SPLIT);
}

/**
 * arch_direct_map_flush - make all CPUs forget how pageblocks were mapped
 * @block: first page of the lowest pageblock
 * @nr_blocks: how many pageblocks from there on the flush must cover
 *
 * One shootdown, whatever @nr_blocks is: every CPU drops all it has, translations
 * of vmap areas that were freed lazily with it. Blocks that are not neighbours can
 * share a flush: pass the span from the lowest to the highest.
 *
 * Context: Interrupts on; does not sleep. No lock that is taken with interrupts
 *          off.
 */
void arch_direct_map_flush(const struct page *block, unsigned int nr_blocks)
{
	lockdep_assert_irqs_enabled();
	flush_tlb_all();
}

/**
 * arch_direct_map_block_mapped - does the direct map show this pageblock?
 * @block: first page of the pageblock, all of which the caller owns
 *
 * For assertions and tests.
 *
 * Context: Any.
 * Return: false if arch_direct_map_block_unmap() has taken the block out.
 */
bool arch_direct_map_block_mapped(const struct page *block)
{
	pmd_t *pmd = direct_map_pmd(block_addr(block));

	/* No PMD: a 1 GiB entry */
	return !pmd || !pmd_none(READ_ONCE(*pmd));
}

#ifdef CONFIG_MEMORY_HOTPLUG
/**
 * direct_map_table_in_use - may unmapped blocks depend on a PMD table?
 * @addr: a direct-map address that the table maps
 *
 * To memory hot-remove a table with nothing but unmapped blocks looks empty, and
 * arch_direct_map_block_remap() needs it.
 *
 * Context: mem_hotplug_lock held for writing.
 * Return: true if any memory in the table's range is online.
 */
bool direct_map_table_in_use(unsigned long addr)
{
	unsigned long pfn = PHYS_PFN(__pa(addr & PUD_MASK));
	unsigned long end = pfn + (PUD_SIZE >> PAGE_SHIFT);

	for (; pfn < end; pfn += PAGES_PER_SECTION)
		if (online_section_nr(pfn_to_section_nr(pfn)))
			return true;
	return false;
}
#endif
