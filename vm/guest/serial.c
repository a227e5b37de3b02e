// SPDX-License-Identifier: GPL-2.0-only
/* COM1, a 16550A: what is sent goes to standard output at once. */
#include <linux/kvm.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "guest.h"

#define COM1_IRQ	4

static uint8_t regs[8], typed;
static bool full;		/* what was typed was not read yet */
static bool sent = true;	/* an interrupt is due: there is room to send more */
static bool high;		/* the line to the interrupt controller */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static uint8_t pending(void)
{
	if (full && regs[UART_IER] & UART_IER_RDI)
		return UART_IIR_RDI;
	if (sent && regs[UART_IER] & UART_IER_THRI)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

static void update(void)
{
	struct kvm_irq_level line = { .irq = COM1_IRQ };

	line.level = pending() != UART_IIR_NO_INT && regs[UART_MCR] & UART_MCR_OUT2;
	if (line.level != high && ioctl(vm, KVM_IRQ_LINE, &line))
		fail("KVM_IRQ_LINE");
	high = line.level;
	pthread_cond_broadcast(&changed);
}

static void write_reg(unsigned int reg, uint8_t value)
{
	if (reg == UART_TX) {
		if (write(STDOUT_FILENO, &value, 1) != 1)
			fail("what the guest prints");
		sent = true;
		return;
	}
	if (reg == UART_IER && value & ~regs[reg] & UART_IER_THRI)
		sent = true;
	regs[reg] = reg == UART_IER ? value & 0xf : value;
}

static uint8_t read_reg(unsigned int reg)
{
	uint8_t value = regs[reg];

	if (reg == UART_RX) {
		value = typed;
		full = false;
	} else if (reg == UART_IIR) {
		value = pending() | 0xc0;			/* there is a FIFO */
		if (pending() == UART_IIR_THRI)
			sent = false;
	} else if (reg == UART_LSR) {
		value = UART_LSR_TEMT | UART_LSR_THRE | (full ? UART_LSR_DR : 0);
	} else if (reg == UART_MSR) {
		value = UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	}
	return value;
}

uint8_t serial(unsigned int reg, bool out, uint8_t value)
{
	pthread_mutex_lock(&lock);
	if (regs[UART_LCR] & UART_LCR_DLAB && reg < 2)
		value = 0;				/* any speed will do */
	else if (out)
		write_reg(reg, value);
	else
		value = read_reg(reg);
	update();
	pthread_mutex_unlock(&lock);
	return value;
}

/* As soon as the guest listens: while a process has the terminal open.  -1: only wait. */
void serial_type(int c)
{
	pthread_mutex_lock(&lock);
	while (full || !(regs[UART_IER] & UART_IER_RDI && regs[UART_MCR] & UART_MCR_OUT2))
		pthread_cond_wait(&changed, &lock);
	if (c >= 0) {
		typed = c;
		full = true;
		update();
	}
	pthread_mutex_unlock(&lock);
}
