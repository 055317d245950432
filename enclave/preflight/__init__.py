"""Is this node fit for patient data? Facts are gathered (`look`, `probe`), judged by pure functions (`checks`), and told.

It runs before the hub is asked for anything: a node that is not fit never sees a certificate.
"""
