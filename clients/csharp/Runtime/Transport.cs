using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Threading;
using System.Threading.Tasks;

namespace GameServer.Client
{
    /// <summary>Posts bytes. An implementation never sends anything twice by itself.</summary>
    public interface ITransport
    {
        /// <summary>
        /// Post, and return the status and the body of the answer. Throws <see cref="TimeoutException"/> when none has
        /// come in time, <see cref="IOException"/> for everything else that goes wrong.
        /// </summary>
        Task<HttpAnswer> PostAsync(
            string url, byte[] body, IDictionary<string, string> headers, TimeSpan timeout, CancellationToken stop);
    }

    /// <summary>An answer of HTTP.</summary>
    public sealed class HttpAnswer
    {
        /// <summary>Make one.</summary>
        public HttpAnswer(int status, string body)
        {
            Status = status;
            Body = body;
        }

        /// <summary>The HTTP status.</summary>
        public int Status { get; }

        /// <summary>The body, unpacked.</summary>
        public string Body { get; }
    }

    /// <summary>Posts by <see cref="HttpClient"/>.</summary>
    public sealed class HttpTransport : ITransport, IDisposable
    {
        readonly HttpClient http;

        /// <summary>Make one, with connections of its own.</summary>
        public HttpTransport()
        {
            var handler = new HttpClientHandler
            {
                AllowAutoRedirect = false,
                UseCookies = false,
                AutomaticDecompression = DecompressionMethods.GZip,
            };
            http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        }

        /// <inheritdoc/>
        public async Task<HttpAnswer> PostAsync(
            string url, byte[] body, IDictionary<string, string> headers, TimeSpan timeout, CancellationToken stop)
        {
            using (var late = CancellationTokenSource.CreateLinkedTokenSource(stop))
            using (var request = new HttpRequestMessage(HttpMethod.Post, url))
            {
                late.CancelAfter(timeout);
                request.Content = new ByteArrayContent(body);
                request.Content.Headers.TryAddWithoutValidation("Content-Type", "application/json; charset=utf-8");
                foreach (KeyValuePair<string, string> header in headers)
                {
                    request.Headers.TryAddWithoutValidation(header.Key, header.Value);
                }
                try
                {
                    using (HttpResponseMessage answer = await http.SendAsync(request, late.Token).ConfigureAwait(false))
                    {
                        string text = await answer.Content.ReadAsStringAsync().ConfigureAwait(false);
                        return new HttpAnswer((int)answer.StatusCode, text);
                    }
                }
                catch (OperationCanceledException)
                {
                    stop.ThrowIfCancellationRequested();
                    throw new TimeoutException("no answer in time");
                }
                catch (HttpRequestException error)
                {
                    throw new IOException(error.InnerException?.Message ?? error.Message, error);
                }
            }
        }

        /// <summary>Close the connections.</summary>
        public void Dispose()
        {
            http.Dispose();
        }
    }
}
