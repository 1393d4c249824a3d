// Thresholds belong to a model: those of MobileFaceNet were measured on official portraits (false matches 0.0007 % at 0.50 and
// 0.02 % at 0.42 of 981,000 pairs), those of SFace are its publishers'.
#include "models.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <dirent.h>
#include <openssl/evp.h>
#include <sys/stat.h>

namespace {

const KnownModel known[] = {
	{"8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4", Kind::Detector, Prepare::None, 0, 0, "YuNet 2023-03"},
	{"1e21c7b77938e0738bef0307c8d3d4fae11ea457850739cd03d2a296e54d4d5f", Kind::Recogniser, Prepare::ImageNet, 0.50f, 0.42f,
		"MobileFaceNet (for OpenCV 4.6)"},
	{"b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507", Kind::Recogniser, Prepare::ImageNet, 0.50f, 0.42f,
		"MobileFaceNet"},
	{"0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79", Kind::Recogniser, Prepare::Raw, 0.363f, 0.30f, "SFace 2021-12"},
	{"2b0e941e6f16cc048c20aee0c8e31f569118f65d702914540f7bfdc14048d78a", Kind::Recogniser, Prepare::Raw, 0.363f, 0.30f,
		"SFace 2021-12, 8 bit"},
};

constexpr off_t FILE_MAX = 200 << 20;

// Of the whole file, in hexadecimal; empty when it cannot be read.
std::string sha256_of(const std::string &path)
{
	struct stat st;
	unsigned char digest[32], block[1 << 16];
	FILE *f = stat(path.c_str(), &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX ? fopen(path.c_str(), "rb") : nullptr;

	if (!f)
		return "";
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), nullptr);
	for (size_t n; good && (n = fread(block, 1, sizeof(block), f)) > 0;)
		good = EVP_DigestUpdate(md, block, n);
	good = good && !ferror(f) && EVP_DigestFinal_ex(md, digest, nullptr);
	EVP_MD_CTX_free(md);
	fclose(f);
	std::string hex;
	for (size_t i = 0; good && i < sizeof(digest); i++) {
		char two[3];
		snprintf(two, sizeof(two), "%02x", digest[i]);
		hex += two;
	}
	return hex;
}

} // namespace

std::vector<FoundModel> find_models(const std::string &directory)
{
	std::vector<FoundModel> found;
	DIR *dir = directory.empty() ? nullptr : opendir(directory.c_str());

	if (!dir)
		return found;
	while (const dirent *entry = readdir(dir)) {
		if (entry->d_name[0] == '.')
			continue;
		std::string path = directory + "/" + entry->d_name, hex = sha256_of(path);
		for (const KnownModel &m : known)
			if (hex == m.sha256)
				found.push_back({&m, path});
	}
	closedir(dir);
	std::sort(found.begin(), found.end(), [](const FoundModel &a, const FoundModel &b) { return a.model < b.model; });
	return found;
}
