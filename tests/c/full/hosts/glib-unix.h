/* What docs/queue.md uses of glib, as its headers declare it: so that the page compiles where there is no glib. */
typedef int gint;
typedef unsigned int guint;
typedef gint gboolean;
typedef void *gpointer;
typedef enum { G_IO_IN = 1 } GIOCondition;
#define G_SOURCE_CONTINUE 1
typedef gboolean (*GUnixFDSourceFunc)(gint fd, GIOCondition condition, gpointer user_data);
guint g_unix_fd_add(gint fd, GIOCondition condition, GUnixFDSourceFunc function, gpointer user_data);
