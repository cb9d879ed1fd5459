/* Writes 1, 2, ... COUNT to a key, each exactly once.   writer SERVERS KEY COUNT
 * A set whose outcome is unknown is looked at before it is repeated. */
#include <etcd-api.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void rest(void) {
  struct timespec pause = {0, 20 * 1000 * 1000};
  nanosleep(&pause, NULL);
}

/* The number that the key holds; asks until there is an answer. */
static int current(etcd_session etcd, const char *key) {
  for (;;) {
    char *value = etcd_get(etcd, key);
    if (value != NULL) {
      int number = atoi(value);
      free(value);
      return number;
    }
    rest();
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  const char *key = argv[2];
  int count = atoi(argv[3]), number;
  etcd_session etcd = etcd_open_str(argv[1]);
  if (etcd == NULL || etcd_set(etcd, key, "0", NULL, 0) != ETCD_OK) return 1;
  for (number = 1; number <= count;) {
    char before[16], now[16];
    snprintf(before, sizeof before, "%d", number - 1);
    snprintf(now, sizeof now, "%d", number);
    if (etcd_set(etcd, key, now, before, 0) == ETCD_OK) {
      number++;
    } else {
      rest();
      number = current(etcd, key) + 1;
    }
  }
  etcd_close(etcd);
  return 0;
}
