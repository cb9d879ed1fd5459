/* Keys, values, directories, preconditions, TTLs. */
#include "harness.h"

static void bytes(void) {
  char all[256], one[8] = "bytes/?";
  for (int byte = 1; byte < 256; byte++) {
    all[byte - 1] = (char)byte;
  }
  all[255] = '\0';
  OK(set(all, all));
  CHECK(is(etcd_get(s, k(all)), all));

  for (int byte = 1; byte < 256; byte++) {
    one[6] = (char)byte;
    OK(etcd_set(s, k(one), one, NULL, 0));
  }
  for (int byte = 1; byte < 256; byte++) {
    one[6] = (char)byte;
    CHECK(is(etcd_get(s, k(one)), one));
  }
  const char *strange[] = {"a&b=c", "a%41+b", "a b", "x?y#z", "p;q", "%", "../up", "//", "100%25", "\xff\xfe", "\xc3(", "\""};
  for (size_t n = 0; n < sizeof strange / sizeof *strange; n++) {
    OK(set(strange[n], strange[n]));
    CHECK(is(etcd_get(s, k(strange[n])), strange[n]));
    int at = mark();
    OK(etcd_set(s, k(strange[n]), NULL, strange[n], 0));
    sees(s, k(strange[n]), &at, k(strange[n]), NULL);
    CHECK(missing(k(strange[n])));
  }

  char slashed[128];
  snprintf(slashed, sizeof slashed, "/%s", k("verbatim"));
  OK(set("verbatim", "without"));
  CHECK(missing(slashed));
  OK(etcd_set(s, slashed, "with", NULL, 0));
  CHECK(is(etcd_get(s, slashed), "with"));
  CHECK(is(etcd_get(s, k("verbatim")), "without"));
  OK(etcd_delete(s, slashed));
  CHECK(is(etcd_get(s, k("verbatim")), "without"));
}

static char *filled(size_t size) {
  char *text = (char *)malloc(size + 1);
  memset(text, 'x', size);
  text[size] = '\0';
  return text;
}

static void sizes(void) {
  OK(set("empty", ""));
  CHECK(is(etcd_get(s, k("empty")), ""));
  int at = mark();
  OK(set("empty", ""));
  sees(s, k("empty"), &at, k("empty"), "");

  char *big = filled(1 << 20), *too_big = filled((3 << 19) + 1);
  big[12345] = '\n';
  OK(set("big", big));
  CHECK(is(etcd_get(s, k("big")), big));
  at = mark();
  OK(etcd_set(s, k("big"), "small", big, 0));
  sees(s, k("big"), &at, k("big"), "small");
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, set("big", too_big));
  GIVES(ETCD_PROTOCOL_ERROR, EMSGSIZE, etcd_set(s, k("big"), too_big, "small", 60));
  CHECK(is(etcd_get(s, k("big")), "small"));
  free(big);
  free(too_big);
}

static void directories(void) {
  char list[512];
  OK(set("d/c/d/e", "1"));
  OK(set("d/a/b", "2"));
  OK(set("d/a-b", "3"));
  OK(set("d/a", "4"));
  OK(set("d/a/c", "5"));
  OK(set("d/c/f", "6"));
  OK(set("d-not", "7"));
  OK(set("d0", "8"));
  snprintf(list, sizeof list, "%s\n%s\n%s", k("d/a"), k("d/a-b"), k("d/c"));
  CHECK(is(etcd_get(s, k("d")), list));
  CHECK(is(etcd_get(s, k("d/a")), "4"));
  OK(etcd_delete(s, k("d/a")));
  CHECK(is(etcd_get(s, k("d")), list));
  snprintf(list, sizeof list, "%s\n%s", k("d/a/b"), k("d/a/c"));
  CHECK(is(etcd_get(s, k("d/a")), list));
  CHECK(is(etcd_get(s, k("d/c/d")), k("d/c/d/e")));

  OK(set("d", "both"));
  CHECK(is(etcd_get(s, k("d")), "both"));
  OK(etcd_delete(s, k("d")));
  CHECK(is(etcd_get(s, k("d/a/b")), "2"));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_delete(s, k("d")));
  CHECK(is(etcd_get(s, k("d/a/b")), "2"));

  OK(etcd_delete(s, k("d/a/b")));
  OK(etcd_delete(s, k("d/a/c")));
  CHECK(missing(k("d/a")));
  CHECK(missing(k("d/a/b")));
  CHECK(missing(k("nothing")));

  int count = 300;
  size_t length = 0;
  for (int n = count; n-- > 0;) {
    OK(etcd_set(s, numbered("many/", n), "", NULL, 0));
  }
  char *many = (char *)malloc((size_t)count * 128);
  for (int n = 0; n < count; n++) {
    length += (size_t)sprintf(many + length, "%s%s", n ? "\n" : "", numbered("many/", n));
  }
  CHECK(is(etcd_get(s, k("many")), many));
  free(many);
}

static void preconditions(void) {
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), "a", "b", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), "a", "", 0));
  CHECK(missing(k("p")));
  OK(set("p", "a"));
  OK(etcd_set(s, k("p"), "b", "a", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), "c", "a", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), "c", "", 0));
  CHECK(is(etcd_get(s, k("p")), "b"));
  OK(etcd_set(s, k("p"), "", "b", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), "c", "b", 0));
  OK(etcd_set(s, k("p"), "c", "", 0));
  CHECK(is(etcd_get(s, k("p")), "c"));

  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("p"), NULL, "b", 0));
  CHECK(is(etcd_get(s, k("p")), "c"));
  OK(etcd_set(s, k("p"), NULL, "c", 0));
  CHECK(missing(k("p")));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), NULL, "c", 0));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_set(s, k("p"), NULL, NULL, 0));
  OK(set("p", "d"));
  OK(etcd_set(s, k("p"), NULL, NULL, 7)); /* nothing that a ttl could be for */
  CHECK(missing(k("p")));
  GIVES(ETCD_PROTOCOL_ERROR, ENOENT, etcd_delete(s, k("p")));
}

static void ttls(void) {
  int at = mark();
  double began = now();
  OK(etcd_set(s, k("t/short"), "x", NULL, 2));
  OK(etcd_set(s, k("t/cleared"), "x", NULL, 2));
  OK(set("t/cleared", "y"));
  OK(etcd_set(s, k("t/longer"), "x", NULL, 2));
  OK(etcd_set(s, k("t/longer"), "y", "x", 60));
  OK(set("t/refused", "x"));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("t/refused"), "z", "y", 2));
  OK(etcd_set(s, k("u/refused too"), "x", NULL, 2));
  GIVES(ETCD_PROTOCOL_ERROR, ESTALE, etcd_set(s, k("u/refused too"), "z", "y", 60));
  sees(s, k("t"), &at, k("t/short"), "x");
  sees(s, k("t"), &at, k("t/cleared"), "x");
  sees(s, k("t"), &at, k("t/cleared"), "y");
  sees(s, k("t"), &at, k("t/longer"), "x");
  sees(s, k("t"), &at, k("t/longer"), "y");
  sees(s, k("t"), &at, k("t/refused"), "x");
  CHECK(is(etcd_get(s, k("t/short")), "x"));
  sees(s, k("t"), &at, k("t/short"), NULL);
  CHECK(now() - began > 1.9 && now() - began < 6);
  CHECK(missing(k("t/short")));
  while (now() - began < 4.5) {
    nap(0.1);
  }
  CHECK(missing(k("u/refused too")));
  CHECK(is(etcd_get(s, k("t/cleared")), "y"));
  CHECK(is(etcd_get(s, k("t/longer")), "y"));
  CHECK(is(etcd_get(s, k("t/refused")), "x"));
}

int main(int argc, char **argv) {
  begin(argc, argv);
  RUN(bytes);
  RUN(sizes);
  RUN(directories);
  RUN(preconditions);
  RUN(ttls);
  return end();
}
