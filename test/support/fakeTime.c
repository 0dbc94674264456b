/*
 * Sets the time of day of a process, for LD_PRELOAD. TIME_OFFSET_FILE names a file of eight bytes: the milliseconds to
 * add to the time of day, as a signed number in the byte order of the machine. It can change while the process runs.
 * The monotonic clock is not affected.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void) {
  const char *name = getenv("TIME_OFFSET_FILE");
  if (name == NULL) return;
  int file = open(name, O_RDONLY);
  if (file < 0) return;
  void *bytes = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
  close(file);
  if (bytes != MAP_FAILED) offset = bytes;
}

/* The time of day in nanoseconds, with the offset. */
static int64_t now(void) {
  struct timespec real;
  syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
  int64_t nanos = (int64_t)real.tv_sec * 1000000000 + real.tv_nsec;
  return offset == NULL ? nanos : nanos + *offset * 1000000;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
    return (int)syscall(SYS_clock_gettime, clock, time);
  int64_t nanos = now();
  time->tv_sec = nanos / 1000000000;
  time->tv_nsec = nanos % 1000000000;
  return 0;
}

int gettimeofday(struct timeval *time, void *zone) {
  (void)zone;
  int64_t nanos = now();
  time->tv_sec = nanos / 1000000000;
  time->tv_usec = nanos % 1000000000 / 1000;
  return 0;
}

time_t time(time_t *result) {
  time_t seconds = now() / 1000000000;
  if (result != NULL) *result = seconds;
  return seconds;
}
