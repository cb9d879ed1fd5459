/* Works while it holds a lock, and stops when it has lost it.   worker [ENDPOINTS [NAME [STEPS]]]
   (default: the store inside the library, "jobs/nightly", 3 steps of 100 ms)   Try two of them; remove the key of one.
   cc worker.c $(pkg-config --cflags --libs etcd-api) -o worker */
#define _POSIX_C_SOURCE 200809L
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int fail(etcd_error *error) {
  fprintf(stderr, "%s\n", etcd_error_message(error));
  etcd_error_free(error);
  return 1;
}

/* A step of the work: short, so that a loss is noticed soon. */
static void step(int number) {
  const struct timespec pause = {0, 100 * 1000 * 1000};
  printf("step %d\n", number);
  nanosleep(&pause, NULL);
}

/* Does the work. Asks before each step whether it is still the holder: that asks nobody but this machine's own clock, and
   says no before the lock can be anyone else's, also if no server can be reached, or the machine slept. */
static int work(const etcd_hold *hold, int steps) {
  for (int number = 1; number <= steps; number++) {
    if (!etcd_hold_is_held(hold)) return 0;
    step(number);
  }
  return etcd_hold_is_held(hold);
}

int main(int argc, char **argv) {
  const char *name = argc > 2 ? argv[2] : "jobs/nightly";
  etcd_session client = etcd_open_str(argc > 1 ? argv[1] : "mem://demo");
  if (client == NULL) return perror("etcd_open_str"), 1;
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);

  etcd_request *lock = etcd_request_lock((const uint8_t *)name, strlen(name));
  etcd_request_set_int(lock, ETCD_FIELD_TTL, 5); /* should it die, the next one waits so long; alive, it is renewed */
  etcd_hold *hold = NULL;
  etcd_error *error = NULL;
  if (etcd_acquire(client, lock, 60000, NULL, &hold, &error) != ETCD_OK) return fail(error);
  etcd_request_free(lock);
  printf("%s is mine\n", name);
  int done = work(hold, argc > 3 ? atoi(argv[3]) : 3);
  puts(done ? "done" : "lost it: somebody else may do this now");

  /* With an answer the lock is free. Without one, it ends by itself when its TTL is over. */
  etcd_request *release = etcd_request_release(hold);
  etcd_status status = etcd_call(client, release, 2000, NULL, NULL, &error);
  etcd_request_free(release), etcd_hold_free(hold);
  if (done && status != ETCD_OK) return fail(error);
  etcd_error_free(error), etcd_client_close(client, 1000, NULL);
  return done ? 0 : 3;
}
