/* The commands of libetcd from the shell, as the test program of 2013 had them: its options, its output, its
   exit codes. `etcd-api`, the command-line tool of this project, can do more. */
#include <etcd-api.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct options {
  const char *servers, *precond, *index; /* as given, or NULL */
  unsigned int ttl;
  int start; /* the index as a number, for watch */
};

/* One command: which options it takes and which it needs, and how many words follow its name. */
struct command {
  const char *name, *takes, *needs;
  int words;
  int (*run)(etcd_session etcd, const struct options *given, char **words);
};

static void usage(void) {
  fputs("usage: etcd-test [OPTIONS] COMMAND\n"
        "  get KEY\n"
        "  set [-p PRECOND] [-t TTL] KEY VALUE\n"
        "  delete KEY\n"
        "  watch [-i INDEX] KEY\n"
        "  lock -t TTL [-i INDEX] KEY\n"
        "  unlock -i INDEX KEY\n"
        "  leader\n"
        "  -s, --servers LIST   host:port, ...; else $ETCD_SERVERS\n"
        "  -p, --precond VALUE  set only if this is the value\n"
        "  -t, --ttl SECONDS    how long the key or lock lasts\n"
        "  -i, --index NUMBER   watch: where to start; lock: which to renew; unlock: which to release\n",
        stderr);
  exit(1);
}

static unsigned long number(const char *text, unsigned long most) {
  char *end;
  errno = 0;
  unsigned long value = strtoul(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value > most) {
    usage();
  }
  return value;
}

static int failed(const char *function) {
  fprintf(stderr, "%s failed\n", function);
  return 1;
}

static int get(etcd_session etcd, const struct options *given, char **words) {
  (void)given;
  printf("getting %s\n", words[0]);
  char *value = etcd_get(etcd, words[0]);
  if (!value) {
    return failed("etcd_get");
  }
  printf("got value: %s\n", value);
  free(value);
  return 0;
}

static int set(etcd_session etcd, const struct options *given, char **words) {
  printf("setting %s to %s\n", words[0], words[1]);
  if (given->precond) {
    printf("  precond = %s\n", given->precond);
  }
  if (given->ttl > 0) {
    printf("  ttl = %u\n", given->ttl);
  }
  return etcd_set(etcd, words[0], words[1], given->precond, given->ttl) == ETCD_OK ? 0 : failed("etcd_set");
}

static int delete_key(etcd_session etcd, const struct options *given, char **words) {
  (void)given;
  printf("deleting %s\n", words[0]);
  return etcd_delete(etcd, words[0]) == ETCD_OK ? 0 : failed("etcd_delete");
}

static int watch(etcd_session etcd, const struct options *given, char **words) {
  int index = given->start;
  char *key, *value;
  printf("getting %s\n", words[0]);
  while (etcd_watch(etcd, words[0], &key, &value, &index, &index) == ETCD_OK) {
    printf("index is %d\n", index++);
    if (value) {
      printf("key %s was set to %s\n", key, value);
    } else {
      printf("key %s was deleted\n", key);
    }
    free(key);
    free(value);
  }
  return failed("etcd_watch");
}

static int lock(etcd_session etcd, const struct options *given, char **words) {
  if (given->index) {
    printf("locking %s (%s) for %u\n", words[0], given->index, given->ttl);
  } else {
    printf("locking %s for %u\n", words[0], given->ttl);
  }
  char *index;
  if (etcd_lock(etcd, words[0], given->ttl, given->index, &index) != ETCD_OK) {
    return failed("etcd_lock");
  }
  /* A renewed lock keeps its index, and none comes back. */
  printf("got back index number %s\n", index ? index : given->index);
  free(index);
  return 0;
}

static int unlock(etcd_session etcd, const struct options *given, char **words) {
  printf("unlocking %s (%s)\n", words[0], given->index);
  return etcd_unlock(etcd, words[0], given->index) == ETCD_OK ? 0 : failed("etcd_unlock");
}

static int leader(etcd_session etcd, const struct options *given, char **words) {
  (void)given;
  (void)words;
  puts("finding leader");
  char *name = etcd_leader(etcd);
  if (!name) {
    return failed("etcd_leader");
  }
  printf("leader is %s\n", name);
  free(name);
  return 0;
}

static const struct command commands[] = {
  {"get", "", "", 1, get},      {"set", "pt", "", 2, set},      {"delete", "", "", 1, delete_key},
  {"watch", "i", "", 1, watch}, {"lock", "ti", "t", 1, lock},   {"unlock", "i", "i", 1, unlock},
  {"leader", "", "", 0, leader},
};

static const struct command *find(const char *name) {
  for (size_t n = 0; n < sizeof commands / sizeof *commands; n++) {
    if (strcasecmp(commands[n].name, name) == 0) {
      return &commands[n];
    }
  }
  usage();
  return NULL;
}

int main(int argc, char **argv) {
  static const struct option names[] = {{"servers", required_argument, NULL, 's'},
                                        {"precond", required_argument, NULL, 'p'},
                                        {"ttl", required_argument, NULL, 't'},
                                        {"index", required_argument, NULL, 'i'},
                                        {NULL, 0, NULL, 0}};
  struct options given = {getenv("ETCD_SERVERS"), NULL, NULL, 0, 0};
  char seen[256] = "";
  for (int option; (option = getopt_long(argc, argv, "s:p:t:i:", names, NULL)) != -1; seen[option] = 1) {
    switch (option) {
    case 's': given.servers = optarg; break;
    case 'p': given.precond = optarg; break;
    case 't': given.ttl = (unsigned int)number(optarg, UINT_MAX); break;
    case 'i': given.index = optarg; break;
    default: usage();
    }
  }
  if (optind >= argc || !given.servers) {
    usage();
  }
  const struct command *command = find(argv[optind]);
  if (argc - optind - 1 != command->words) {
    usage();
  }
  for (const char *option = "pti"; *option; option++) {
    int given_it = seen[(unsigned char)*option];
    if (given_it ? !strchr(command->takes, *option) : strchr(command->needs, *option) != NULL) {
      usage();
    }
  }
  if (command->run == watch && given.index) {
    given.start = (int)number(given.index, INT_MAX);
  }
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ); /* a reader behind a pipe sees each line at once */
  etcd_session etcd = etcd_open_str(given.servers);
  if (!etcd) {
    return failed("etcd_open");
  }
  int status = command->run(etcd, &given, argv + optind + 1);
  etcd_close_str(etcd);
  return status;
}
