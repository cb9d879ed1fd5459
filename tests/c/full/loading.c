/* A library that is loaded and unloaded, used or not; one that is linked and never called.
   PROGRAM linked|loaded */
#include "harness.h"
#include <dlfcn.h>

/* The functions of the library, by their names: nothing of it is linked. */
static struct {
  etcd_options *(*options_new)(void);
  etcd_status (*options_set)(etcd_options *, const char *, const char *, etcd_error **);
  void (*options_free)(etcd_options *);
  etcd_status (*client_open)(const etcd_options *, etcd_client **, etcd_error **);
  etcd_status (*client_close)(etcd_client *, int64_t, etcd_error **);
  etcd_status (*queue_new)(size_t, etcd_queue **, etcd_error **);
  void (*queue_free)(etcd_queue *);
  etcd_request *(*request_status)(void);
  void (*request_free)(etcd_request *);
  etcd_status (*submit)(etcd_client *, etcd_queue *, const etcd_request *, uint64_t, int64_t, etcd_error **);
} of;

static void find(void *library, const char *name, void *place) {
  void *found = dlsym(library, name);
  CHECK(found != NULL);
  memcpy(place, &found, sizeof found);
}

static void find_all(void *library) {
  find(library, "etcd_options_new", &of.options_new);
  find(library, "etcd_options_set", &of.options_set);
  find(library, "etcd_options_free", &of.options_free);
  find(library, "etcd_client_open", &of.client_open);
  find(library, "etcd_client_close", &of.client_close);
  find(library, "etcd_queue_new", &of.queue_new);
  find(library, "etcd_queue_free", &of.queue_free);
  find(library, "etcd_request_status", &of.request_status);
  find(library, "etcd_request_free", &of.request_free);
  find(library, "etcd_submit", &of.submit);
}

/* Has threads of the library at work. */
static void use_it(void) {
  etcd_options *options = of.options_new();
  etcd_request *request = of.request_status();
  etcd_client *client;
  etcd_queue *queue;
  CHECK(of.options_set(options, "endpoints", "mem://loaded", NULL) == ETCD_OK);
  CHECK(of.client_open(options, &client, NULL) == ETCD_OK);
  CHECK(of.queue_new(0, &queue, NULL) == ETCD_OK);
  for (uint64_t tag = 1; tag <= 10; tag++) {
    CHECK(of.submit(client, queue, request, tag, 1000, NULL) == ETCD_OK);
  }
  CHECK(of.client_close(client, 10000, NULL) == ETCD_OK);
  of.queue_free(queue);
  of.request_free(request);
  of.options_free(options);
}

static void load(int round) {
  void *library = dlopen("libetcd.so.0", round % 2 ? RTLD_NOW : RTLD_LAZY);
  CHECK(library != NULL);
  if (round % 3) {
    find_all(library);
    use_it();
  }
  CHECK(dlclose(library) == 0);
}

int main(int argc, char **argv) {
  alarm(240); /* a wait that never ends is a fault too */
  CHECK(argc == 2);
  int files = files_now();
  printf("%d threads, %d files\n", threads_now(), files);
  if (strcmp(argv[1], "linked") == 0) {
    CHECK(dlopen("libetcd.so.0", RTLD_NOW | RTLD_NOLOAD) != NULL);
  } else {
    CHECK(dlopen("libetcd.so.0", RTLD_NOW | RTLD_NOLOAD) == NULL);
    for (int round = 0; round < 100; round++) {
      load(round);
    }
  }
  threads_come_to(1);
  CHECK(files_now() == files);
  return end();
}
