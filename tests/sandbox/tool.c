/* The one program of the test image: what does a process meet in here? No libc files needed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    return 1;
}

static int list(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) return failed(path);
    for (struct dirent *e; (e = readdir(folder));)
        if (e->d_name[0] != '.') puts(e->d_name);
    return 0;
}

static int copy(int from) {
    char data[65536];
    for (ssize_t n; (n = read(from, data, sizeof data)) != 0;)
        if (n < 0 || write(1, data, n) != n) return failed("copy");
    return 0;
}

static int show(const char *path) {
    int file = open(path, O_RDONLY);
    return file < 0 ? failed(path) : copy(file);
}

static int create(const char *path) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || write(file, "made", 4) != 4) return failed(path);
    puts("made");
    return 0;
}

/* Writes nothing: what is tried here must not be changed if the sandbox is broken. */
static int writable(const char *path) {
    return open(path, O_WRONLY) < 0 ? failed(path) : 0;
}

static int who(void) {
    gid_t groups[64];
    int count = getgroups(64, groups);
    char folder[4096];
    printf("%d:%d", getuid(), getgid());
    for (int i = 0; i < count; i++) printf(" %d", groups[i]);
    printf(" %s\n", getcwd(folder, sizeof folder));
    return 0;
}

static int facts(const char *path) {
    struct stat found;
    if (lstat(path, &found)) return failed(path);
    printf("%o %d:%d\n", found.st_mode & 07777, found.st_uid, found.st_gid);
    return 0;
}

/* Names of interfaces that are up, and whether a socket of ours can be reached. */
static int network(void) {
    struct ifaddrs *all;
    if (getifaddrs(&all)) return failed("getifaddrs");
    for (struct ifaddrs *i = all; i; i = i->ifa_next)
        if ((i->ifa_flags & IFF_UP) && i->ifa_addr && i->ifa_addr->sa_family == AF_INET) puts(i->ifa_name);
    int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    if (bind(server, (void *)&here, size) || listen(server, 1)) return failed("listen");
    getsockname(server, (void *)&here, &size);
    if (connect(client, (void *)&here, size)) return failed("loopback");
    puts("loopback answers");
    return 0;
}

static int reach(const char *port) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    there.sin_port = htons(atoi(port));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, (void *)&there, sizeof there)) return failed("connect");
    puts("reached");
    return 0;
}

/* Writes to a file ten times a second, in a session of its own, long after its parent's end. */
static int beat(const char *path, int wait) {
    if (fork() == 0) {
        setsid();
        for (int i = 0; i < 600; i++) {
            int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
            if (file < 0) return failed(path);
            write(file, ".", 1);
            close(file);
            usleep(100000);
        }
        return 0;
    }
    usleep(wait * 1000);
    return 0;
}

static void on_term(int number) {
    (void)number;
    write(1, "asked\n", 6);
    _exit(5);
}

static int serve(const char *path) {
    signal(SIGTERM, on_term);
    if (create(path)) return 1;
    for (;;) pause();
}

int main(int count, char **args) {
    const char *verb = count > 1 ? args[1] : "", *rest = count > 2 ? args[2] : "";
    setvbuf(stdout, NULL, _IONBF, 0);
    if (!strcmp(verb, "env")) for (char **e = environ; *e; e++) puts(*e);
    else if (!strcmp(verb, "list")) return list(rest);
    else if (!strcmp(verb, "show")) return show(rest);
    else if (!strcmp(verb, "cat")) return copy(0);
    else if (!strcmp(verb, "create")) return create(rest);
    else if (!strcmp(verb, "writable")) return writable(rest);
    else if (!strcmp(verb, "who")) return who();
    else if (!strcmp(verb, "stat")) return facts(rest);
    else if (!strcmp(verb, "network")) return network();
    else if (!strcmp(verb, "reach")) return reach(rest);
    else if (!strcmp(verb, "exit")) return atoi(rest);
    else if (!strcmp(verb, "signal")) raise(atoi(rest));
    else if (!strcmp(verb, "sleep")) sleep(atoi(rest));
    else if (!strcmp(verb, "beat")) return beat(rest, atoi(args[3]));
    else if (!strcmp(verb, "serve")) return serve(rest);
    else if (!strcmp(verb, "flood")) {
        for (long i = 0; i < atol(rest); i++) printf("%015ld\n", i);
        fputs("the end", stderr);
    } else return 99;
    return 0;
}
