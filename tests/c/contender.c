/* One of several processes that contend for a classic lock and write to a fenced key while they hold it.

     contender SERVERS NAME RESOURCE COUNT [broken | hold]

   RESOURCE holds "TOKEN free" or "TOKEN busy". Whoever holds the lock with INDEX finds it free with a smaller
   TOKEN, makes it "INDEX busy", then "INDEX free": anything else means that two held the lock at once, or out
   of turn (exit 3). broken: takes no lock, so that several of them must be caught. hold: takes the lock for 5
   seconds, says so and sleeps until it is killed. CONTENDER_VERBOSE prints the index of each turn. */
#include <etcd-api.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void overlap(const char *index, const char *what) {
  printf("overlap at index %s: %s\n", index, what);
  exit(3);
}

static void change(etcd_session etcd, const char *resource, const char *from, const char *index, const char *state) {
  char to[64];
  snprintf(to, sizeof to, "%s %s", index, state);
  if (etcd_set(etcd, resource, to, from, 0) != ETCD_OK) {
    if (errno == ESTALE) {
      overlap(index, "somebody else changed it");
    }
    fail("etcd_set");
  }
}

static void use(etcd_session etcd, const char *resource, const char *index) {
  char *found = etcd_get(etcd, resource), state[5], rest, busy[64];
  long long token;
  if (!found) {
    fail("etcd_get");
  }
  if (sscanf(found, "%lld %4s%c", &token, state, &rest) != 2) {
    overlap(index, found);
  }
  if (strcmp(state, "free") != 0 || token >= atoll(index)) {
    overlap(index, found);
  }
  change(etcd, resource, found, index, "busy");
  free(found);
  const struct timespec pause = {0, rand() % 1000 * 1000};
  nanosleep(&pause, NULL);
  snprintf(busy, sizeof busy, "%s busy", index);
  change(etcd, resource, busy, index, "free");
}

static char *invented_index(void) {
  char *index = (char *)malloc(32);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  snprintf(index, 32, "%lld", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
  return index;
}

int main(int argc, char **argv) {
  const char *mode = argc == 6 ? argv[5] : "";
  if (argc < 5 || argc > 6 || (*mode && strcmp(mode, "broken") != 0 && strcmp(mode, "hold") != 0)) {
    fputs("usage: contender SERVERS NAME RESOURCE COUNT [broken | hold]\n", stderr);
    return 2;
  }
  const char *name = argv[2], *resource = argv[3];
  int hold = strcmp(mode, "hold") == 0, broken = strcmp(mode, "broken") == 0;
  int verbose = getenv("CONTENDER_VERBOSE") != NULL;
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  srand((unsigned int)getpid());
  etcd_session etcd = etcd_open_str(argv[1]);
  if (!etcd) {
    fail("etcd_open_str");
  }
  for (int turns = atoi(argv[4]); turns > 0 || hold; turns--) {
    char *index = broken ? invented_index() : NULL;
    if (!broken && etcd_lock(etcd, name, hold ? 5 : 10, NULL, &index) != ETCD_OK) {
      fail("etcd_lock");
    }
    if (hold) {
      printf("held %s\n", index);
      for (;;) {
        pause();
      }
    }
    use(etcd, resource, index);
    if (verbose) {
      puts(index);
    }
    if (!broken && etcd_unlock(etcd, name, index) != ETCD_OK) {
      fail("etcd_unlock");
    }
    free(index);
  }
  etcd_close(etcd);
  return 0;
}
