"""AMD SEV-SNP: reports of versions 2 to 5, signed by a VCEK or a VLEK, of Milan, Genoa and Turin (1.4)."""
