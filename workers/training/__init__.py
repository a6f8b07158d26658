import os

# MKL chooses the kernel of a product by shape and alignment unless told not to; a trial's numbers would then depend on
# its pack. This must be in the environment before torch loads MKL.
os.environ.setdefault("MKL_CBWR", "AUTO")
