/* Leadership by a lock: whoever holds it leads, everybody else waits for it.   leader -s SERVERS [-k KEY] ...
   The leader's name stands in KEY.leader, for those who wait and for anybody else. Link with -pthread. */
#define _POSIX_C_SOURCE 200809L
#include <etcd-api.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *key = "nsr";
static char host[256], *name = host, *leader_key;
static unsigned int ttl = 5;
static etcd_session waits, calls; /* for what blocks: closed to end it; for all the rest */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const struct timespec tick = {0, 50 * 1000 * 1000};
static int stopping, leading;
static double until; /* while leading: when the lock may end */

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Sleeps, and tells whether to go on. */
static int nap(double seconds) {
  for (double end = now() + seconds;; nanosleep(&tick, NULL)) {
    pthread_mutex_lock(&mutex);
    int go_on = !stopping;
    pthread_mutex_unlock(&mutex);
    if (!go_on || now() >= end) {
      return go_on;
    }
  }
}

/* The lock was confirmed by a request sent at that time. Tells whether this is the leader. */
static int confirm(double sent, int first) {
  pthread_mutex_lock(&mutex);
  if (first) {
    leading = 1;
    printf("leader is %s\nBow down before me!\n", name);
  }
  until = sent + (ttl > 5 ? 0.9 * ttl : ttl - 0.5); /* clocks differ: a little before the lock's end */
  int still = leading;
  pthread_mutex_unlock(&mutex);
  return still;
}

/* No longer the leader, if the time is over or `lost`. */
static void step_down(int lost) {
  pthread_mutex_lock(&mutex);
  if (leading && (lost || now() >= until)) {
    leading = 0;
    puts("I am no longer the leader");
  }
  pthread_mutex_unlock(&mutex);
}

/* Renews the lock until it is lost. Leads only after the first renewal: that tells until when. */
static void lead(const char *index) {
  int first = 1;
  for (double pause = 0; nap(pause);) {
    double sent = now();
    etcd_result result = etcd_lock(calls, key, ttl, index, NULL);
    if (result == ETCD_PROTOCOL_ERROR || (result == ETCD_OK && !confirm(sent, first))) {
      break;
    }
    pause = 0.2; /* no answer: ask again while there is time */
    if (result == ETCD_OK) {
      first = 0;
      pause = ttl / 3.0;
      etcd_set(calls, leader_key, name, NULL, ttl);
    }
  }
  step_down(1);
  etcd_set(calls, leader_key, NULL, name, 0);
  etcd_unlock(calls, key, index); /* if it is not lost */
}

static void *candidate(void *unused) {
  char *index;
  while (nap(0)) {
    if (etcd_lock(waits, key, ttl, NULL, &index) == ETCD_OK) {
      lead(index);
      free(index);
    } else if (nap(0)) {
      perror("etcd_lock");
      nap(1);
    }
  }
  return unused;
}

/* Says who leads whenever that changes. What happens between the read and the watch is seen at the leader's
   next renewal, which publishes its name again. */
static void *follower(void *unused) {
  char *last = NULL, *who = etcd_get(calls, leader_key);
  int index = 0;
  do {
    if (who && strcmp(who, name) != 0 && (!last || strcmp(who, last) != 0)) {
      printf("leader is %s\n", who);
    }
    free(last);
    last = who;
    who = NULL;
    while (nap(0) && etcd_watch(waits, leader_key, NULL, &who, &index, &index) != ETCD_OK) {
      index = -1; /* some changes may be missed: from now on */
      nap(1);
    }
    index++;
  } while (nap(0));
  free(last);
  free(who);
  return unused;
}

static void usage(void) {
  fputs("usage: leader [-k KEY] [-n NODENAME] [-t TTL] -s SERVERS (or ETCD_SERVERS)\n", stderr);
  exit(1);
}

int main(int argc, char **argv) {
  static const struct option names[] = {{"key", 1, NULL, 'k'}, {"nodename", 1, NULL, 'n'},
                                        {"servers", 1, NULL, 's'}, {"ttl", 1, NULL, 't'},
                                        {"help", 0, NULL, 'h'}, {NULL, 0, NULL, 0}};
  const char *servers = getenv("ETCD_SERVERS");
  gethostname(host, sizeof host - 1);
  for (int option; (option = getopt_long(argc, argv, "k:n:s:t:h", names, NULL)) != -1;) {
    switch (option) {
    case 'k': key = optarg; break;
    case 'n': name = optarg; break;
    case 's': servers = optarg; break;
    case 't': ttl = (unsigned int)strtoul(optarg, NULL, 10); break;
    default: usage();
    }
  }
  if (!servers || optind < argc || ttl < 2 || ttl > 3600) {
    usage();
  }
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, NULL); /* they wait for sigtimedwait() */
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  leader_key = (char *)malloc(strlen(key) + sizeof ".leader");
  strcat(strcpy(leader_key, key), ".leader");
  waits = etcd_open_str(servers);
  calls = etcd_open_str(servers);
  if (!waits || !calls) {
    perror("etcd_open_str");
    return 1;
  }
  pthread_t threads[2];
  pthread_create(&threads[0], NULL, candidate, NULL);
  pthread_create(&threads[1], NULL, follower, NULL);
  /* This thread has the clock: a renewal that hangs must not make a leader of one who may have lost. */
  while (sigtimedwait(&signals, NULL, &tick) < 0) {
    step_down(0);
  }
  pthread_mutex_lock(&mutex);
  stopping = 1;
  pthread_mutex_unlock(&mutex);
  etcd_close(waits); /* ends what waits there, and what is about to */
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  etcd_close(calls);
  free(leader_key);
  return 0;
}
