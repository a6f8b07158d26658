"""The experiments of "Align, then memorise" (Refinetti et al., ICML 2021), and some beyond them."""
