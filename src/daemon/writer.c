// SPDX-License-Identifier: GPL-2.0-only
/*
 * A thread that sets memory blocks online and offline
 *
 * An offline may take long: the kernel tries to move the pages of the block
 * again and again. A signal ends it.
 *
 * Copyright (C) 2026 the twostage developers
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../cli/sysfs.h"
#include "measure.h"
#include "writer.h"

/* The thread's calls of libc need little; all of the stack is locked. */
#define STACK_SIZE (128 << 10)

static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct writer_job job;
	/* Whether the thread has a job; it is the only one to end that. */
	bool busy;
	atomic_bool cancelled;
	int finished;
} writer = { .finished = -1 };

static int write_once(const struct writer_job *job)
{
	const size_t length = strlen(job->text);
	char path[PATH_MAX];
	int fd = job->fd, ret = 0;
	ssize_t written;

	if (fd < 0) {
		snprintf(path, sizeof(path), "%s%s", sysroot(), job->path);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
	}
	written = pwrite(fd, job->text, length, 0);
	if (written < 0)
		ret = -errno;
	else if ((size_t)written != length)
		ret = -EIO;
	if (job->fd < 0)
		close(fd);
	return ret;
}

static void run_job(struct writer_job *job)
{
	const uint64_t started = measure_now();

	while (job->done < job->count && !job->error) {
		job->error = atomic_load(&writer.cancelled) ? -EINTR : write_once(job);
		job->done += !job->error;
	}
	job->time = measure_now() - started;
}

static void *work(void *unused)
{
	const uint64_t one = 1;
	struct writer_job job;

	(void)unused;
	for (;;) {
		pthread_mutex_lock(&writer.lock);
		while (!writer.busy)
			pthread_cond_wait(&writer.wanted, &writer.lock);
		job = writer.job;
		pthread_mutex_unlock(&writer.lock);

		run_job(&job);

		pthread_mutex_lock(&writer.lock);
		writer.job = job;
		writer.busy = false;
		pthread_mutex_unlock(&writer.lock);
		if (write(writer.finished, &one, sizeof(one)) < 0)
			return NULL;
	}
}

static void ignore(int signal)
{
	(void)signal;
}

/**
 * writer_start() - start the thread
 *
 * Return: a file that is readable when a job has ended; or a negative errno.
 */
int writer_start(void)
{
	struct sigaction action = { .sa_handler = ignore };
	sigset_t all, before, interrupt;
	pthread_attr_t attributes;
	int ret;

	writer.finished = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (writer.finished < 0)
		return -errno;
	pthread_mutex_init(&writer.lock, NULL);
	pthread_cond_init(&writer.wanted, NULL);
	/* Without SA_RESTART: a write that is interrupted returns. */
	sigaction(SIGUSR1, &action, NULL);
	sigfillset(&all);
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGUSR1);
	sigdelset(&all, SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	ret = pthread_create(&writer.thread, &attributes, work, NULL);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
	return ret ? -ret : writer.finished;
}

/**
 * writer_submit() - start a job
 * @job: the job; no other one may be running
 */
void writer_submit(const struct writer_job *job)
{
	pthread_mutex_lock(&writer.lock);
	writer.job = *job;
	writer.job.done = 0;
	writer.job.error = 0;
	writer.busy = true;
	atomic_store(&writer.cancelled, false);
	pthread_cond_signal(&writer.wanted);
	pthread_mutex_unlock(&writer.lock);
}

/**
 * writer_cancel() - have the job that is running end soon
 *
 * The signal is lost if it comes just before the write: call this again if the
 * job does not end.
 */
void writer_cancel(void)
{
	atomic_store(&writer.cancelled, true);
	pthread_kill(writer.thread, SIGUSR1);
}

/**
 * writer_result() - take the result of a job that has ended
 * @job: the job, with its result
 *
 * Return: 0; or -EAGAIN if no job has ended.
 */
int writer_result(struct writer_job *job)
{
	uint64_t count;

	if (read(writer.finished, &count, sizeof(count)) != sizeof(count))
		return -EAGAIN;
	pthread_mutex_lock(&writer.lock);
	*job = writer.job;
	pthread_mutex_unlock(&writer.lock);
	return 0;
}
