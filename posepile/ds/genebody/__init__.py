"""GeneBody 1.0: single performers seen by 48 studio cameras, with SMPL-X fits and mattes."""
