// The first file of NVMe.
