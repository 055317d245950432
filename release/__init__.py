"""What a release says of itself: whose work it stands on (THIRD-PARTY.md), and its software bill of materials (CycloneDX)."""
