/* A resolver with two names of its own, loaded before the C library: stalled.invalid is never answered, and
   moving.invalid is at the address in the file that ETCD_API_TEST_ADDRESS names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What stands in the file, or NULL. */
static const char *address_in_file(char *buffer, int size) {
  const char *path = getenv("ETCD_API_TEST_ADDRESS");
  FILE *file = path == NULL ? NULL : fopen(path, "r");
  const char *address;
  if (file == NULL) return NULL;
  address = fgets(buffer, size, file);
  fclose(file);
  return address;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  char buffer[64];
  *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  if (node != NULL && strcmp(node, "stalled.invalid") == 0) {
    for (;;) pause();
  }
  if (node != NULL && strcmp(node, "moving.invalid") == 0) {
    node = address_in_file(buffer, sizeof buffer);
    if (node == NULL) return EAI_NONAME;
  }
  return real(node, service, hints, result);
}
