#include "port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "wire.h"

#define PORT_NAME "bpfmatrix.0"
#define PORTS "/sys/class/virtio-ports"
#define SERIAL "/dev/ttyS1"

/* A message this small goes out in one write: each write wakes the host. The driver takes 32 KiB at once. */
#define SMALL_MESSAGE (32u << 10)

/* How often to look for the port while the driver is still setting it up, and for how long: without any
 * virtio console driver there is no class directory, and nothing to wait for. */
#define LOOK_EVERY_US 1000
#define LOOKS_WITH_DRIVER 5000
#define LOOKS_WITHOUT_DRIVER 1000
/* A virtio port whose host is not connected reports POLLHUP at once and for ever, so it is polled by sleeping. */
#define RECONNECT_US 1000
/* A new host's first bytes can be here before the driver knows that it connected (they come by another queue), so
 * an answer waits this many times RECONNECT_US before it is dropped. */
#define RECONNECT_TRIES 300

static bool port_is_ours(const char *entry)
{
	char path[300], name[sizeof(PORT_NAME) + 2] = "";
	FILE *file;

	snprintf(path, sizeof(path), PORTS "/%.200s/name", entry);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = 0;
	fclose(file);
	name[strcspn(name, "\n")] = 0;
	return strcmp(name, PORT_NAME) == 0;
}

/* Open the port if it is there. *driver tells whether the console driver is. */
static int find_virtio_port(bool *driver)
{
	char path[300];
	struct dirent *entry;
	DIR *ports = opendir(PORTS);
	int fd = -1;

	*driver = ports != NULL;
	if (!ports)
		return -1;
	while (fd < 0 && (entry = readdir(ports))) {
		if (entry->d_name[0] == '.' || !port_is_ours(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/dev/%.200s", entry->d_name);
		fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	}
	closedir(ports);
	return fd;
}

static int wait_for_virtio_port(void)
{
	bool driver = false;
	int looks, fd;

	for (looks = 0; looks < LOOKS_WITH_DRIVER; looks++) {
		fd = find_virtio_port(&driver);
		if (fd >= 0)
			return fd;
		if (!driver && looks >= LOOKS_WITHOUT_DRIVER)
			break;
		usleep(LOOK_EVERY_US);
	}
	return -1;
}

static int open_serial(void)
{
	struct termios mode;
	int fd = open(SERIAL, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -1;
	/* A ttyS node without hardware behind it opens, but has no modes (EIO). */
	if (tcgetattr(fd, &mode) < 0) {
		close(fd);
		return -1;
	}
	cfmakeraw(&mode);
	mode.c_cflag |= CLOCAL | CREAD;
	cfsetspeed(&mode, B115200);
	tcsetattr(fd, TCSANOW, &mode);
	return fd;
}

bool port_open(struct port *p, bool force_serial)
{
	p->fd = force_serial ? -1 : wait_for_virtio_port();
	p->serial = p->fd < 0;
	if (p->serial)
		p->fd = open_serial();
	return p->fd >= 0;
}

/* Without a host on the other end a virtio port is "readable" (POLLIN and POLLHUP) and reads nothing; what the host
 * sent before it left comes first. */
enum port_event port_receive(const struct port *p, int timeout_ms, void *data, size_t room, size_t *got)
{
	struct pollfd wait = {.fd = p->fd, .events = POLLIN};
	ssize_t count;

	if (poll(&wait, 1, timeout_ms) <= 0)
		return PORT_SILENT;
	count = read(p->fd, data, room);
	*got = count > 0 ? (size_t)count : 0;
	if (count > 0 || (count < 0 && errno == EAGAIN && !(wait.revents & POLLHUP)))
		return PORT_DATA;
	usleep(RECONNECT_US);
	return PORT_HOST_GONE;
}

/* Wait until the port takes bytes again. False when the host is gone. */
static bool wait_writable(const struct port *p)
{
	struct pollfd wait = {.fd = p->fd, .events = POLLOUT};

	if (poll(&wait, 1, 1000) > 0 && (wait.revents & (POLLHUP | POLLERR)) && !(wait.revents & POLLOUT)) {
		usleep(RECONNECT_US);
		return false;
	}
	return true;
}

/* Write all of `data`. *begun: whether part of the message is on the wire already. */
static bool write_all(const struct port *p, const uint8_t *data, size_t length, bool patient, bool *begun)
{
	int tries = 0;

	while (length > 0) {
		ssize_t sent = write(p->fd, data, length);

		if (sent > 0) {
			data += sent;
			length -= (size_t)sent;
			*begun = true;
		} else if (sent < 0 && errno == EINTR) {
			continue;
		} else if (!wait_writable(p) && (*begun || (!patient && ++tries > RECONNECT_TRIES))) {
			return false; /* once begun, the rest would be garbage to whoever connects next */
		}
	}
	return true;
}

static void copy_parts(uint8_t *to, const struct iovec *parts, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		if (parts[i].iov_len > 0)
			memcpy(to, parts[i].iov_base, parts[i].iov_len);
		to += parts[i].iov_len;
	}
}

/* The header of the whole message; its length. */
static size_t seal_header(uint8_t header[WIRE_HEADER], uint16_t type, uint32_t id, const struct iovec *parts, int count)
{
	size_t length = 0;
	uint32_t crc;
	int i;

	for (i = 0; i < count; i++)
		length += parts[i].iov_len;
	wire_header(header, type, id, (uint32_t)length);
	crc = wire_crc(0, header, 16);
	for (i = 0; i < count; i++)
		crc = wire_crc(crc, parts[i].iov_base, parts[i].iov_len);
	wire_seal(header, crc);
	return length;
}

bool port_send(const struct port *p, uint16_t type, uint32_t id, const struct iovec *parts, int count, bool patient)
{
	static uint8_t small[SMALL_MESSAGE];
	size_t length = seal_header(small, type, id, parts, count);
	bool begun = false;
	int i;

	if (length <= SMALL_MESSAGE - WIRE_HEADER) {
		copy_parts(small + WIRE_HEADER, parts, count);
		return write_all(p, small, WIRE_HEADER + length, patient, &begun);
	}
	if (!write_all(p, small, WIRE_HEADER, patient, &begun))
		return false;
	for (i = 0; i < count; i++)
		if (!write_all(p, parts[i].iov_base, parts[i].iov_len, patient, &begun))
			return false;
	return true;
}
