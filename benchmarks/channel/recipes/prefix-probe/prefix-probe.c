/* Prints the prefix that is compiled in, in every form in which a binary holds it. */
#include <stdio.h>

/* volatile: the compiler must not merge or split the strings. */
static const char *volatile plain = PREFIX;
static const char *volatile with_suffix = PREFIX "/share/prefix-probe";
static const char *volatile search_path = PREFIX "/a:" PREFIX "/b";
static char table[2][1024] = {PREFIX "/one", PREFIX "/two"};

int main(void) {
    printf("prefix=%s\n", plain);
    printf("suffix=%s\n", with_suffix);
    printf("path=%s\n", search_path);
    printf("table=%s|%s\n", table[0], table[1]);
    return 0;
}
