// The first file of VFIO.
