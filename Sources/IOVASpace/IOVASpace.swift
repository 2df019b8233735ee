// The first file of IOVASpace.
