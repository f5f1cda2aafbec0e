/* The byte stream to the host: a virtio-serial port, or the second serial port where there is none. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct port {
	int fd;
	bool serial;
};

/* Find and open the port; `force_serial` skips the search. False when neither exists (errno says why). */
bool port_open(struct port *p, bool force_serial);

enum port_event { PORT_DATA, PORT_SILENT, PORT_HOST_GONE };

/* Wait for bytes at most `timeout_ms` (-1: as long as it takes) and read them; *got says how many (PORT_DATA). */
enum port_event port_receive(const struct port *p, int timeout_ms, void *data, size_t room, size_t *got);
/* Send a whole message. `patient`: wait for a host that is not connected yet; otherwise the message is
 * dropped when nobody listens. False when it was dropped. */
bool port_send(const struct port *p, uint16_t type, uint32_t id, const struct iovec *parts, int count, bool patient);
