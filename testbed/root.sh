# Sourced by the verbs of bin/: become_root "$@" starts the verb again through sudo when it was not started by root.

become_root() {
  [ "$(id -u)" != 0 ] || return 0
  # The package clients look for their configuration in the caller's home and environment.
  local configuration
  mapfile -t configuration < <(env | grep -E '^(CI|PIP_[A-Z_]+|npm_config_[a-z_]+|NODE_EXTRA_CA_CERTS|SSL_CERT_[A-Z]+|[A-Za-z]+_(proxy|PROXY))=' || true)
  exec sudo env HOME="$HOME" "${configuration[@]}" "$(realpath "$0")" "$@"
}
