/* Writes to servers that hang up all the time, with SIGPIPE as the system has it.   pipe SERVERS COUNT
   A signal would end this program. With COUNT 0 it shows that: it writes to a pipe that nobody reads. */
#include <etcd-api.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIZE (1 << 20)

int main(int argc, char **argv) {
  int count, n, failed = 0, ends[2];
  char *value = (char *)malloc(SIZE + 1);
  if (argc != 3 || value == NULL || signal(SIGPIPE, SIG_DFL) == SIG_ERR) return 2;
  memset(value, 'v', SIZE);
  value[SIZE] = '\0';
  count = atoi(argv[2]);
  if (count == 0 && pipe(ends) == 0) {
    close(ends[0]);
    return write(ends[1], "x", 1) == 1;
  }
  for (n = 0; n < count; n++) {
    etcd_session etcd = etcd_open_str(argv[1]);
    if (etcd == NULL) return 2;
    failed += etcd_set(etcd, "pipe", value, NULL, 0) != ETCD_OK;
    failed += etcd_set(etcd, "pipe", value, NULL, 0) != ETCD_OK;
    etcd_close(etcd);
  }
  free(value);
  printf("%d failed\n", failed);
  return 0;
}
