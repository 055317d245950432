"""The whole site on one machine: hosts as namespaces with their own file systems."""
