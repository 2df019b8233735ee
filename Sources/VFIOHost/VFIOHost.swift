// The first file of VFIOHost.
