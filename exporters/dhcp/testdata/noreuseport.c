/* Preloaded, it takes a program back to a kernel before 3.9, which has no SO_REUSEPORT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/socket.h>

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	int (*real)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");

	if (level == SOL_SOCKET && name == SO_REUSEPORT) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return real(fd, level, name, value, length);
}
