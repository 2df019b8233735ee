// The first file of VFIOABI.
