/* TCP and UDP over loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "triggers.h"

static const struct timeval PATIENCE = {.tv_sec = 2};

static struct sockaddr_in loopback(uint64_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = {htonl(INADDR_LOOPBACK)},
	};
}

/* A socket with our name `port` (0: the kernel picks one). Negative: errno. */
static int bound(int type, uint64_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &PATIENCE, sizeof(PATIENCE));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	on = errno;
	close(fd);
	errno = on;
	return -1;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in address = {0};
	socklen_t length = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &length);
	return ntohs(address.sin_port);
}

static bool exchange_tcp(int client, int server)
{
	struct sockaddr_in address = loopback(port_of(server));
	char got[5];
	int peer;
	bool fine;

	if (connect(client, (struct sockaddr *)&address, sizeof(address)) < 0)
		return false;
	peer = accept(server, NULL, NULL);
	fine = peer >= 0 && send(client, "hello", 5, MSG_NOSIGNAL) == 5 && recv(peer, got, 5, MSG_WAITALL) == 5;
	if (peer >= 0)
		close(peer);
	return fine;
}

static bool exchange_udp(int client, int server, const char *payload)
{
	struct sockaddr_in address = loopback(port_of(server));
	size_t length = strlen(payload);
	char got[65536];

	if (sendto(client, payload, length, 0, (struct sockaddr *)&address, sizeof(address)) != (ssize_t)length)
		return false;
	return recv(server, got, sizeof(got), 0) == (ssize_t)length;
}

static bool once(const struct step *step, int type, uint64_t port, uint16_t ports[2])
{
	int server = bound(type, port), client = server < 0 ? -1 : bound(type, 0), error;
	bool fine = client >= 0;

	if (fine && type == SOCK_STREAM)
		fine = listen(server, 8) == 0 && exchange_tcp(client, server);
	else if (fine)
		fine = exchange_udp(client, server, step->arg_count > 1 ? step->args[1] : "hello");
	error = errno;
	if (server >= 0)
		ports[0] = port_of(server);
	if (client >= 0)
		ports[1] = port_of(client);
	if (client >= 0)
		close(client);
	if (server >= 0)
		close(server);
	errno = error;
	return fine;
}

static void over_loopback(const struct step *step, int type, struct tally *tally, struct step_result *result)
{
	uint16_t ports[2] = {0};
	uint64_t port, i;

	if (!step_number(step, 0, 0, &port) || port > 65535) {
		result_fail(result, EINVAL, "a port is a number up to 65535, not '%s'", step->args[0]);
		return;
	}
	for (i = 0; i < step->count; i++)
		tally_add(tally, once(step, type, port, ports));
	tally_extra(tally, ports[0]);
	tally_extra(tally, ports[1]);
}

void trigger_tcp(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	(void)s;
	over_loopback(step, SOCK_STREAM, tally, result);
}

void trigger_udp(struct scenario *s, const struct step *step, struct tally *tally, struct step_result *result)
{
	(void)s;
	over_loopback(step, SOCK_DGRAM, tally, result);
}
