"""The SFTP path under the mount: sshfs starts it in place of ssh, and it speaks SFTP with both sides."""
